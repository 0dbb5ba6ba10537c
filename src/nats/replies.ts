/** Answers to many messages at once: one subscription takes them all, and a message costs one entry in a map. */
import {
  createInbox,
  type Msg,
  type NatsConnection,
  PermissionViolationError,
  type Subscription,
} from '@nats-io/transport-node';
import { type ErrorCode, OuzelError } from '../errors.ts';
import { subjectNumber, type Wire } from './wire.ts';

/** Waits for one answer, and hears exactly one thing. */
export interface Awaiting {
  /** What was published to. */
  readonly subject: string;
  /** Milliseconds of the monotonic clock. */
  readonly deadline: number;
  answered(message: Msg): void;
  timedOut(): void;
  /** The connection is gone: nobody knows what became of what was sent. */
  lost(): void;
  /** The server does not let this user publish, or hear the answer. */
  denied(problem: string): void;
}

/** Something that was sent, and that its sender hears of once: an answer, or why there is none. */
export abstract class Sent<Listener extends { failed(error: OuzelError): void }> implements Awaiting {
  readonly subject: string;
  readonly deadline: number;
  protected readonly listener: Listener;
  /** `publish to`, `request to`: what errors begin with, before the subject. */
  readonly #what: string;
  readonly #answer: string;
  readonly #timeout: number;

  /**
   * @param answer What is waited for, in a word: `PubAck`, `reply`.
   * @param timeout Milliseconds.
   */
  constructor(what: string, subject: string, answer: string, timeout: number, listener: Listener) {
    this.#what = what;
    this.subject = subject;
    this.#answer = answer;
    this.#timeout = timeout;
    this.listener = listener;
    this.deadline = performance.now() + timeout;
  }

  abstract answered(message: Msg): void;

  timedOut(): void {
    this.failed('TARGET_TIMEOUT', `no ${this.#answer} within ${this.#timeout} ms`);
  }

  lost(): void {
    this.failed('NATS_UNAVAILABLE', 'the connection to NATS was lost');
  }

  denied(problem: string): void {
    this.failed('NATS_PERMISSION', problem);
  }

  protected failed(code: ErrorCode, problem: string, status?: number): void {
    this.listener.failed(new OuzelError(code, `${this.#what} ${this.subject}: ${problem}`, { status }));
  }
}

/** Milliseconds between looks at what has timed out. */
const SWEEP = 250;
/** Milliseconds after which a subscription is made again that the server ended. */
const SUBSCRIBE_AGAIN = 1_000;

const NOT_HEARD = 'the NATS user may not subscribe to its inbox, so that no answer would be heard';

export class Replies {
  readonly #inbox = `${createInbox()}.`;
  readonly #awaiting = new Map<number, Awaiting>();
  readonly #connection: NatsConnection;
  readonly #timer: NodeJS.Timeout;
  readonly #onWarning: (message: string) => void;
  #subscription: Subscription;
  /** When the server ended the subscription; undefined while there is one. */
  #endedAt: number | undefined;
  #next = 0;

  /** @param onWarning Hears of what a listener threw; its run is ended by its time-out. */
  constructor(connection: NatsConnection, onWarning: (message: string) => void) {
    this.#connection = connection;
    this.#onWarning = onWarning;
    this.#subscription = this.#subscribe();
    this.#timer = setInterval(() => this.#sweep(), SWEEP);
    this.#timer.unref();
    this.#listen().catch((error: unknown) => onWarning(`refusals of the server are not heard: ${String(error)}`));
  }

  /** Why nothing can be sent now that waits for an answer; undefined when it can. */
  get problem(): string | undefined {
    return this.#endedAt === undefined ? undefined : NOT_HEARD;
  }

  /** The subject to answer to. */
  expect(awaiting: Awaiting): string {
    const number = this.#next++;
    this.#awaiting.set(number, awaiting);
    return this.#inbox + number;
  }

  /** To be called when the connection is lost. */
  disconnected(): void {
    this.#end(
      () => true,
      (awaiting) => awaiting.lost(),
    );
  }

  close(): void {
    clearInterval(this.#timer);
    this.#subscription.unsubscribe();
    this.disconnected();
  }

  #subscribe(): Subscription {
    return this.#connection.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error === null) return this.#answer(message);
        // A permission that was taken away ends the subscription for good: it is made again, until that is allowed.
        this.#endedAt = performance.now();
        this.#end(
          () => true,
          (awaiting) => awaiting.denied(NOT_HEARD),
        );
      },
    });
  }

  /** A publish that is not allowed gets no answer, only a word on the connection: nobody has to wait for the time-out. */
  async #listen(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type !== 'error' || !(status.error instanceof PermissionViolationError)) continue;
      const { operation, subject } = status.error;
      if (operation === 'publish')
        this.#end(
          (awaiting) => awaiting.subject === subject,
          (awaiting) => awaiting.denied('the NATS user may not publish to this subject'),
        );
    }
  }

  #answer(message: Msg): void {
    const number = subjectNumber(message);
    const awaiting = this.#awaiting.get(number);
    if (awaiting === undefined) return;
    this.#awaiting.delete(number);
    // What is thrown in here would end the connection's reader.
    this.#guarded(() => awaiting.answered(message));
  }

  #sweep(): void {
    const now = performance.now();
    if (this.#endedAt !== undefined && now - this.#endedAt >= SUBSCRIBE_AGAIN) {
      this.#endedAt = undefined;
      this.#subscription = this.#subscribe();
    }
    this.#end(
      ({ deadline }) => deadline <= now,
      (awaiting) => awaiting.timedOut(),
    );
  }

  #end(which: (awaiting: Awaiting) => boolean, tell: (awaiting: Awaiting) => void): void {
    const ending: [number, Awaiting][] = [];
    for (const entry of this.#awaiting) if (which(entry[1])) ending.push(entry);
    for (const [number, awaiting] of ending) {
      this.#awaiting.delete(number);
      this.#guarded(() => tell(awaiting));
    }
  }

  #guarded(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#onWarning(`an answer could not be taken: ${String(error)}`);
    }
  }
}

/**
 * Why a message cannot be sent now, or at all.
 *
 * @param what For the message of the error: `publish to alerts.orders`.
 * @param replies Where the answer would be heard, if one is waited for.
 */
export function sendProblem(
  connection: NatsConnection,
  wire: Wire,
  what: string,
  headers: string,
  body: Uint8Array | string,
  replies?: Replies,
): OuzelError | undefined {
  if (!wire.connected) return new OuzelError('NATS_UNAVAILABLE', `${what}: not connected to NATS`);
  if (replies?.problem !== undefined) return new OuzelError('NATS_PERMISSION', `${what}: ${replies.problem}`);
  const limit = connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
  // Characters are at most three bytes each, so most bodies need no count.
  const most = headers.length * 3 + body.length * (typeof body === 'string' ? 3 : 1);
  if (most <= limit) return undefined;
  const size = Buffer.byteLength(headers) + Buffer.byteLength(body);
  if (size <= limit) return undefined;
  return new OuzelError(
    'TARGET_TOO_LARGE',
    `${what}: ${size} bytes with headers, and the server takes ${limit} (max_payload)`,
  );
}
