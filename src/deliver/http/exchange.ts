/** One request and what comes back of it, straight from undici's dispatcher: a stream an answer would cost as much again. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { codeOfStatus, EXCERPT, type HttpAnswer } from './answer.ts';

/** Bytes of a body that are kept where nobody wants all of it. */
const BEGINNING = 4 * EXCERPT;

const NOTHING = new Uint8Array();

/** Who is told exactly one of the two, once. */
export interface Asker {
  /** As soon as it is known what the request came to. */
  answered(answer: HttpAnswer): void;
  failed(error: unknown): void;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
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

/** Ended: all of the answer came. Stuck: it was given up before anything went over its connection. */
export type ExchangeEnd = 'ended' | 'failed' | 'stuck';

export class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: HttpRequest;
  readonly #asker: Asker;
  readonly #terms: Terms;
  /** Whether all of the body of a 2xx is wanted. */
  readonly #whole: boolean;
  #timer: NodeJS.Timeout | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #known: { readonly status: number; readonly headers: IncomingHttpHeaders; body: Uint8Array } | undefined;
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
  begin(connection: Pick<Dispatcher, 'dispatch'>): void {
    const { timeout } = this.#terms;
    this.#timer = setTimeout(() => this.cancel(this.#terms.late(this.#request)), timeout);
    const { path, method, headers, body = null } = this.#request;
    connection.dispatch({ path, method, headers, body }, this);
  }

  /** Ends it. A status that is known stays what it is; without one, this is the error. */
  cancel(reason: Error): void {
    if (this.#over) return;
    this.#finish(this.#controller === undefined ? 'stuck' : 'failed', reason);
    this.#controller?.abort(reason);
  }

  get isOver(): boolean {
    return this.#over;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It was given up before there was a connection.
    if (this.#over) controller.abort(new Error('given up'));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    // 103 and the like come before the answer.
    if (status < 200 || this.#over) return;
    this.#known = { status, headers, body: NOTHING };
    const confirmed = codeOfStatus(status) === undefined;
    this.#wanted = this.#whole && confirmed;
    // A 2xx is the word of the target, whatever becomes of the rest: a body that breaks off takes nothing back.
    if (confirmed && !this.#wanted) this.#tell(this.#known);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    const room = this.#wanted ? chunk.length : Math.max(0, BEGINNING - this.#size);
    if (room > 0) (this.#chunks ??= []).push(chunk.subarray(0, room));
    this.#size += chunk.length;
    if (this.#size <= this.#terms.maxResponse) return;
    const error = this.#terms.tooLarge(this.#request);
    this.#finish('failed', error);
    controller.abort(error);
  }

  onResponseEnd(): void {
    this.#finish('ended');
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
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
