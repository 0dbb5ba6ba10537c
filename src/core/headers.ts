/**
 * NATS header blocks as bytes: searched where they are, decoded only when someone asks for all of them.
 * Format: `NATS/1.0[ status[ text]]\r\nName: value\r\n…\r\n` (NATS protocol, HPUB/HMSG).
 */

const CR = 13;
const LF = 10;
const COLON = 58;
const SPACE = 32;
const decoder = new TextDecoder();

/** Calls back with the bounds of each header line until the callback answers true. */
function eachLine(block: Uint8Array, visit: (start: number, colon: number, end: number) => boolean | void): void {
  let start = block.indexOf(LF) + 1;
  while (start > 0 && start < block.length) {
    let end = block.indexOf(LF, start);
    if (end === -1) end = block.length;
    const stop = block[end - 1] === CR ? end - 1 : end;
    if (stop <= start) return;
    // Looked for in this line alone: a search of the whole block for each line without one would be quadratic.
    let colon = start;
    while (colon < stop && block[colon] !== COLON) colon++;
    if (colon > start && colon < stop && visit(start, colon, stop) === true) return;
    start = end + 1;
  }
}

function valueAt(block: Uint8Array, colon: number, end: number): string {
  let from = colon + 1;
  let to = end;
  while (from < to && block[from] === SPACE) from++;
  while (to > from && block[to - 1] === SPACE) to--;
  return decoder.decode(block.subarray(from, to));
}

const lower = (byte: number): number => (byte >= 65 && byte <= 90 ? byte + 32 : byte);

function nameMatches(block: Uint8Array, start: number, end: number, name: string, exact: boolean): boolean {
  if (end - start !== name.length) return false;
  for (let index = 0; index < name.length; index++) {
    const byte = block[start + index] ?? 0;
    const wanted = name.charCodeAt(index);
    if (exact ? byte !== wanted : lower(byte) !== lower(wanted)) return false;
  }
  return true;
}

/** The first value of a header: its exact name first, then without regard to case. */
export function headerValue(block: Uint8Array, name: string): string | undefined {
  let found: string | undefined;
  for (const exact of [true, false]) {
    eachLine(block, (start, colon, end) => {
      if (!nameMatches(block, start, colon, name, exact)) return false;
      found = valueAt(block, colon, end);
      return true;
    });
    if (found !== undefined) return found;
  }
  return found;
}

// oxlint-disable-next-line no-control-regex -- control characters are what must not get into a header
const UNSAFE = /[\u0000-\u001f\u007f]/g;

/**
 * Every header line in order. Names are as they came, less control characters and spaces around them: such a name
 * could pass for another one where it is compared, and become it where it is written.
 */
export function headerEntries(block: Uint8Array): [name: string, value: string][] {
  const entries: [string, string][] = [];
  eachLine(block, (start, colon, end) => {
    const name = decoder.decode(block.subarray(start, colon)).replace(UNSAFE, '').trim();
    if (name !== '') entries.push([name, valueAt(block, colon, end)]);
  });
  return entries;
}

/** The status code in the first line (`100`, `404`, `503`…), or 0 when there is none. */
export function headerStatus(block: Uint8Array): number {
  const end = block.indexOf(LF);
  return Number.parseInt(decoder.decode(block.subarray(8, end === -1 ? block.length : end)), 10) || 0;
}

/** The first line's text behind the status code. */
export function headerDescription(block: Uint8Array): string {
  const end = block.indexOf(CR);
  return decoder
    .decode(block.subarray(8, end === -1 ? block.length : end))
    .replace(/^\s*\d+\s*/, '')
    .trim();
}

/** A header line. Line breaks and control characters in the value become spaces, so that no value can add a header. */
export const headerLine = (name: string, value: string): string => `${name}: ${value.replace(UNSAFE, ' ')}\r\n`;

/** A whole header block of these lines (each with its line end). */
export const headerBlock = (lines: string): string => `NATS/1.0\r\n${lines}\r\n`;
