/**
 * Lines of JSON, written straight into bytes: one is written of every event, and strings that are put together of
 * thirty pieces cost three times as much, half of it when they are made flat at last.
 */

/** Bytes of a page: some three hundred lines. */
const PAGE = 64 * 1024;

/** Where a line is, its end included. */
export interface Line {
  readonly page: Uint8Array;
  readonly from: number;
  readonly to: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const LINE_END = 0x0a;
const MILLION = 1_000_000;

export class LineWriter {
  #page = Buffer.allocUnsafeSlow(PAGE);
  #from = 0;
  #at = 0;

  /** Begins a line; what is left of one that could not be ended is gone. */
  begin(): this {
    this.#at = this.#from;
    return this;
  }

  /** What was written since then, as one line. */
  end(): Line {
    this.#room(1);
    this.#page[this.#at++] = LINE_END;
    const line: Line = { page: this.#page, from: this.#from, to: this.#at };
    this.#from = this.#at;
    return line;
  }

  /** JSON as it is. @param json Of ASCII. */
  raw(json: string): this {
    this.#room(json.length);
    const page = this.#page;
    let at = this.#at;
    for (let index = 0; index < json.length; index++) page[at++] = json.charCodeAt(index);
    this.#at = at;
    return this;
  }

  /** A text, in quotes. */
  text(text: string): this {
    this.#room(text.length + 2);
    const page = this.#page;
    let at = this.#at;
    page[at++] = QUOTE;
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      // What needs no escape and is one byte, which is nearly everything.
      if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) return this.#encoded(text);
      page[at++] = code;
    }
    page[at++] = QUOTE;
    this.#at = at;
    return this;
  }

  /** @param number Whole, and not negative. */
  integer(number: number): this {
    if (number >= MILLION) {
      const millions = Math.floor(number / MILLION);
      return this.integer(millions).digits(number - millions * MILLION, 6);
    }
    let width = 1;
    for (let rest = number | 0; rest >= 10; rest = (rest / 10) | 0) width++;
    return this.digits(number, width);
  }

  /** The last digits of a whole number below 2³¹, with zeros before it. */
  digits(number: number, width: number): this {
    this.#room(width);
    // Of 32 bits: the remainder of a number that may be larger is worked out ten times as slowly.
    let rest = number | 0;
    for (let at = this.#at + width - 1; at >= this.#at; at--) {
      this.#page[at] = ZERO + (rest % 10);
      rest = (rest / 10) | 0;
    }
    this.#at += width;
    return this;
  }

  #encoded(text: string): this {
    const json = JSON.stringify(text);
    this.#room(Buffer.byteLength(json));
    this.#at += this.#page.write(json, this.#at);
    return this;
  }

  /** A line that a page has no room for goes on in the next one as a whole. */
  #room(bytes: number): void {
    if (this.#at + bytes <= this.#page.length) return;
    const begun = this.#page.subarray(this.#from, this.#at);
    this.#page = Buffer.allocUnsafeSlow(Math.max(PAGE, 2 * (begun.length + bytes)));
    this.#page.set(begun);
    this.#from = 0;
    this.#at = begun.length;
  }
}

/** The bytes of lines: those that follow each other in one page are one piece. */
export function piecesOf(lines: Iterable<Line>): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let page: Uint8Array | undefined;
  let from = 0;
  let to = 0;
  const add = (): void => {
    if (page !== undefined) pieces.push(page.subarray(from, to));
  };
  for (const line of lines) {
    if (line.page === page && line.from === to) to = line.to;
    else {
      add();
      ({ page, from, to } = line);
    }
  }
  add();
  return pieces;
}
