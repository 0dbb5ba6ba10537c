/**
 * Publishing with confirmation, many at once: one subscription takes all PubAcks, and a publish costs one entry in a
 * map. An id in `Nats-Msg-Id` makes it safe to publish again what nobody knows the fate of.
 */
import { createInbox, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { headerStatus } from '../core/headers.ts';
import type { Publisher, PublishListener } from '../deliver/ports.ts';
import { type ErrorCode, OuzelError } from '../errors.ts';
import { headerBytes, subjectNumber, type Wire } from './wire.ts';

interface PubAck {
  readonly stream?: string;
  readonly duplicate?: boolean;
  readonly error?: { readonly code?: number; readonly err_code?: number; readonly description?: string };
}

interface Pending {
  readonly subject: string;
  readonly listener: PublishListener;
  /** Milliseconds of the monotonic clock. */
  readonly deadline: number;
  readonly timeout: number;
}

/** Milliseconds between looks at what has timed out. */
const SWEEP = 250;

/** JetStream API errors that a later attempt cannot mend: a malformed message, or an expectation that does not hold. */
const REFUSALS = new Set([10060, 10070, 10071, 10072]);
/** The message is larger than the stream takes, or its headers than the server does (64 KiB). */
const TOO_LARGE = new Set([10054, 10097]);

function errorOf(subject: string, { code = 0, err_code: detail = 0, description = '' }: NonNullable<PubAck['error']>) {
  let kind: ErrorCode = 'TARGET_UNAVAILABLE';
  if (TOO_LARGE.has(detail)) kind = 'TARGET_TOO_LARGE';
  else if (REFUSALS.has(detail)) kind = 'TARGET_REJECTED';
  return new OuzelError(kind, `publish to ${subject}: ${description} (JetStream error ${detail || code})`);
}

export class JetStreamPublisher implements Publisher {
  readonly #connection: NatsConnection;
  readonly #wire: Wire;
  readonly #inbox = `${createInbox()}.`;
  readonly #pending = new Map<number, Pending>();
  readonly #subscription: Subscription;
  readonly #timer: NodeJS.Timeout;
  readonly #onWarning: (message: string) => void;
  #next = 0;

  /** @param onWarning Hears of what a listener threw; its run is ended by its time-out. */
  constructor(connection: NatsConnection, wire: Wire, onWarning: (message: string) => void = () => undefined) {
    this.#connection = connection;
    this.#wire = wire;
    this.#onWarning = onWarning;
    this.#subscription = connection.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        // What is thrown in here would end the connection's reader.
        if (error === null) this.#guarded(() => this.#answer(message));
      },
    });
    this.#timer = setInterval(() => this.#sweep(), SWEEP);
    this.#timer.unref();
  }

  publish(
    subject: string,
    headers: string,
    body: Uint8Array | string,
    timeout: number,
    listener: PublishListener,
  ): void {
    const problem = this.#problem(subject, headers, body);
    if (problem !== undefined) return listener.failed(problem);
    const number = this.#next++;
    this.#pending.set(number, { subject, listener, deadline: performance.now() + timeout, timeout });
    this.#wire.publish(subject, this.#inbox + number, headers, body);
  }

  publishCore(subject: string, headers: string, body: Uint8Array | string): void {
    const problem = this.#problem(subject, headers, body);
    if (problem !== undefined) throw problem;
    this.#wire.publish(subject, '', headers, body);
  }

  /** To be called when the connection is lost: nobody knows what became of what is on its way. */
  disconnected(): void {
    this.#fail(
      () => true,
      (pending) =>
        new OuzelError('TARGET_UNAVAILABLE', `publish to ${pending.subject}: the connection to NATS was lost`),
    );
  }

  close(): void {
    clearInterval(this.#timer);
    this.#subscription.unsubscribe();
    this.disconnected();
  }

  #problem(subject: string, headers: string, body: Uint8Array | string): OuzelError | undefined {
    if (!this.#wire.connected)
      return new OuzelError('TARGET_UNAVAILABLE', `publish to ${subject}: not connected to NATS`);
    const limit = this.#connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
    // Characters are at most three bytes each, so most bodies need no count.
    const most = headers.length * 3 + body.length * (typeof body === 'string' ? 3 : 1);
    if (most <= limit) return undefined;
    const size = Buffer.byteLength(headers) + Buffer.byteLength(body);
    return size <= limit
      ? undefined
      : new OuzelError(
          'TARGET_TOO_LARGE',
          `publish to ${subject}: ${size} bytes with headers, and the server takes ${limit} (max_payload)`,
        );
  }

  #answer(message: Msg): void {
    const number = subjectNumber(message);
    const pending = this.#pending.get(number);
    if (pending === undefined) return;
    this.#pending.delete(number);
    const { subject, listener } = pending;
    const headers = headerBytes(message);
    if (headers !== undefined && headerStatus(headers) === 503)
      return listener.failed(new OuzelError('TARGET_NO_STREAM', `publish to ${subject}: no stream takes this subject`));
    let ack: PubAck;
    try {
      ack = JSON.parse(message.string()) as PubAck;
    } catch {
      ack = {};
    }
    if (ack.error !== undefined) return listener.failed(errorOf(subject, ack.error));
    if (typeof ack.stream === 'string') return listener.confirmed(ack.duplicate === true);
    // Some other subscriber answered in the stream's place, which confirms nothing.
    listener.failed(new OuzelError('TARGET_UNAVAILABLE', `publish to ${subject}: the answer is no PubAck of a stream`));
  }

  #sweep(): void {
    const now = performance.now();
    this.#fail(
      ({ deadline }) => deadline <= now,
      ({ subject, timeout }) =>
        new OuzelError('TARGET_TIMEOUT', `publish to ${subject}: no PubAck within ${timeout} ms`),
    );
  }

  #fail(which: (pending: Pending) => boolean, error: (pending: Pending) => OuzelError): void {
    const failing: [number, Pending][] = [];
    for (const entry of this.#pending) if (which(entry[1])) failing.push(entry);
    for (const [number, pending] of failing) {
      this.#pending.delete(number);
      this.#guarded(() => pending.listener.failed(error(pending)));
    }
  }

  #guarded(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#onWarning(`the answer to a publish could not be taken: ${String(error)}`);
    }
  }
}
