/** One request and what comes back of it, straight from undici's dispatcher: a stream an answer would cost as much again. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { codeOfStatus, EXCERPT, type HttpAnswer } from './answer.ts';

/** Bytes of a body that are kept where nobody wants all of it. */
const BEGINNING = 4 * EXCERPT;

const NOTHING = new Uint8Array();

export interface ExchangeOptions {
  /** Whether all of the body of a 2xx is wanted. */
  readonly whole: boolean;
  /** Bytes of an answer that are read. */
  readonly maxResponse: number;
  /** The error for a body that is larger, where all of it is wanted. */
  readonly tooLarge: () => Error;
  /** Called once, when the connection is free again or gone. */
  readonly over: () => void;
}

export class Exchange implements Dispatcher.DispatchHandler {
  /** The answer, as soon as it is known what the request came to. */
  readonly answer: Promise<HttpAnswer>;
  readonly #options: ExchangeOptions;
  readonly #resolve: (answer: HttpAnswer) => void;
  readonly #reject: (error: unknown) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #known: { readonly status: number; readonly headers: IncomingHttpHeaders; body: Uint8Array } | undefined;
  #wanted = false;
  #chunks: Buffer[] | undefined;
  #size = 0;
  #over = false;

  constructor(options: ExchangeOptions) {
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
    this.#options = options;
    this.answer = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Ends it. A status that is known stays what it is; without one, this is the error. */
  cancel(reason: Error): void {
    if (this.#over) return;
    this.#finish(reason);
    this.#controller?.abort(reason);
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
    this.#wanted = this.#options.whole && confirmed;
    // A 2xx is the word of the target, whatever becomes of the rest: a body that breaks off takes nothing back.
    if (confirmed && !this.#wanted) this.#resolve(this.#known);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    const room = this.#wanted ? chunk.length : Math.max(0, BEGINNING - this.#size);
    if (room > 0) (this.#chunks ??= []).push(chunk.subarray(0, room));
    this.#size += chunk.length;
    if (this.#size <= this.#options.maxResponse) return;
    const error = this.#options.tooLarge();
    this.#finish(error);
    controller.abort(error);
  }

  onResponseEnd(): void {
    this.#finish();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#finish(error);
  }

  #finish(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.over();
    const known = this.#known;
    // What is wanted whole is worth nothing in part.
    if (known === undefined || (this.#wanted && error !== undefined)) return this.#reject(error);
    // A copy: what the socket read is larger.
    if (this.#chunks !== undefined) known.body = Buffer.concat(this.#chunks);
    this.#chunks = undefined;
    this.#resolve(known);
  }
}
