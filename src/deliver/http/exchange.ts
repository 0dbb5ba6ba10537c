/** One request and what comes back of it: how long it may take, how much of it is read, and what that means. */
import { codeOfStatus, EXCERPT, type HttpAnswer } from './answer.ts';
import type { Connection, HttpRequest, Requester } from './connection.ts';
import type { ResponseHeaders } from './response.ts';

/** Bytes of a body that are kept where nobody wants all of it. */
const BEGINNING = 4 * EXCERPT;

const NOTHING = new Uint8Array();

/** Who is told exactly one of the two, once. */
export interface Asker {
  /** As soon as it is known what the request came to. */
  answered(answer: HttpAnswer): void;
  failed(error: unknown): void;
}

/** What all exchanges with one origin have in common. */
export interface Terms {
  /** Milliseconds from its turn on a connection to the end of the answer's body. */
  readonly timeout: number;
  /** Bytes of an answer that are read. */
  readonly maxResponse: number;
  late(request: HttpRequest): Error;
  /** The error for a body that is larger, where all of it is wanted. */
  tooLarge(request: HttpRequest): Error;
  /** Called once, when it needs its connection no longer. */
  over(exchange: Exchange, end: ExchangeEnd): void;
  /** What went wrong on the way, as one of ours. */
  failure(request: HttpRequest, error: unknown): Error;
}

/** Ended: all of the answer came. */
export type ExchangeEnd = 'ended' | 'failed';

export class Exchange implements Requester {
  readonly #request: HttpRequest;
  readonly #asker: Asker;
  readonly #terms: Terms;
  /** Whether all of the body of a 2xx is wanted. */
  readonly #whole: boolean;
  #timer: NodeJS.Timeout | undefined;
  #known: { readonly status: number; readonly headers: ResponseHeaders; body: Uint8Array } | undefined;
  #told = false;
  #wanted = false;
  #chunks: Buffer[] | undefined;
  #size = 0;
  #over = false;

  constructor(request: HttpRequest, asker: Asker, terms: Terms, whole: boolean) {
    this.#request = request;
    this.#asker = asker;
    this.#terms = terms;
    this.#whole = whole;
  }

  /** Makes its request, on a connection that is its own until it is over. */
  begin(connection: Connection): void {
    this.#timer = setTimeout(() => this.cancel(this.#terms.late(this.#request)), this.#terms.timeout);
    try {
      connection.send(this.#request, this);
    } catch (error) {
      this.failed(error as Error);
    }
  }

  /** Ends it. A status that is known stays what it is; without one, this is the error. */
  cancel(reason: Error): void {
    this.#finish('failed', reason);
  }

  get isOver(): boolean {
    return this.#over;
  }

  started(status: number, headers: ResponseHeaders): void {
    this.#known = { status, headers, body: NOTHING };
    const confirmed = codeOfStatus(status) === undefined;
    this.#wanted = this.#whole && confirmed;
    // A 2xx is the word of the target, whatever becomes of the rest: a body that breaks off takes nothing back.
    if (confirmed && !this.#wanted) this.#tell(this.#known);
  }

  data(bytes: Buffer): void {
    if (this.#over) return;
    const room = this.#wanted ? bytes.length : Math.max(0, BEGINNING - this.#size);
    if (room > 0) (this.#chunks ??= []).push(bytes.subarray(0, room));
    this.#size += bytes.length;
    if (this.#size > this.#terms.maxResponse) this.#finish('failed', this.#terms.tooLarge(this.#request));
  }

  ended(): void {
    this.#finish('ended');
  }

  failed(error: Error): void {
    this.#finish('failed', error);
  }

  #tell(answer: HttpAnswer): void {
    this.#told = true;
    this.#asker.answered(answer);
  }

  #finish(end: ExchangeEnd, error?: unknown): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#terms.over(this, end);
    const known = this.#known;
    // A copy: what the socket read is larger.
    if (known !== undefined && this.#chunks !== undefined) known.body = Buffer.concat(this.#chunks);
    this.#chunks = undefined;
    if (this.#told) return;
    // What is wanted whole is worth nothing in part.
    if (known !== undefined && !(this.#wanted && error !== undefined)) this.#tell(known);
    else this.#asker.failed(this.#terms.failure(this.#request, error));
  }
}
