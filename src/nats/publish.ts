/**
 * Publishing with confirmation, many at once: one subscription takes all PubAcks, and a publish costs one entry in a
 * map. An id in `Nats-Msg-Id` makes it safe to publish again what nobody knows the fate of.
 */
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { headerStatus } from '../core/headers.ts';
import type { Publisher, PublishListener } from '../deliver/ports.ts';
import { type ErrorCode, OuzelError } from '../errors.ts';
import { Replies, sendProblem, Sent } from './replies.ts';
import { headerBytes, type Wire } from './wire.ts';

interface PubAck {
  readonly stream?: string;
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: { readonly code?: number; readonly err_code?: number; readonly description?: string };
}

/** JetStream API errors that a later attempt cannot mend: a malformed message, or an expectation that does not hold. */
const REFUSALS = new Set([10060, 10070, 10071, 10072, 10164]);
/** The message is larger than the stream takes, or its headers than the server does (64 KiB). */
const TOO_LARGE = new Set([10054, 10097]);

function errorOf(subject: string, { code = 0, err_code: detail = 0, description = '' }: NonNullable<PubAck['error']>) {
  let kind: ErrorCode = 'TARGET_UNAVAILABLE';
  if (TOO_LARGE.has(detail)) kind = 'TARGET_TOO_LARGE';
  else if (REFUSALS.has(detail)) kind = 'TARGET_REJECTED';
  return new OuzelError(kind, `publish to ${subject}: ${description} (JetStream error ${detail || code})`);
}

/** A publish that waits for its PubAck. */
class Pending extends Sent<PublishListener> {
  constructor(subject: string, timeout: number, listener: PublishListener) {
    super('publish to', subject, 'PubAck', timeout, listener);
  }

  answered(message: Msg): void {
    const headers = headerBytes(message);
    if (headers !== undefined && headerStatus(headers) === 503)
      return this.failed('TARGET_NO_STREAM', 'no stream takes this subject');
    let ack: PubAck;
    try {
      ack = JSON.parse(message.string()) as PubAck;
    } catch {
      ack = {};
    }
    if (ack.error !== undefined) return this.listener.failed(errorOf(this.subject, ack.error));
    if (typeof ack.stream === 'string') return this.listener.confirmed(ack.duplicate === true, ack.seq, ack.stream);
    // Some other subscriber answered in the stream's place, which confirms nothing.
    this.failed('TARGET_UNAVAILABLE', 'the answer is no PubAck of a stream');
  }
}

export class JetStreamPublisher implements Publisher {
  readonly #connection: NatsConnection;
  readonly #wire: Wire;
  readonly #replies: Replies;

  /** @param onWarning Hears of what a listener threw; its run is ended by its time-out. */
  constructor(connection: NatsConnection, wire: Wire, onWarning: (message: string) => void = () => undefined) {
    this.#connection = connection;
    this.#wire = wire;
    this.#replies = new Replies(connection, onWarning);
  }

  publish(
    subject: string,
    headers: string,
    body: Uint8Array | string,
    timeout: number,
    listener: PublishListener,
  ): void {
    const problem = sendProblem(this.#connection, this.#wire, `publish to ${subject}`, headers, body, this.#replies);
    if (problem !== undefined) return listener.failed(problem);
    const reply = this.#replies.expect(new Pending(subject, timeout, listener));
    this.#wire.publish(subject, reply, headers, body);
  }

  publishCore(subject: string, headers: string, body: Uint8Array | string): void {
    const problem = sendProblem(this.#connection, this.#wire, `publish to ${subject}`, headers, body);
    if (problem !== undefined) throw problem;
    this.#wire.publish(subject, '', headers, body);
  }

  /** To be called when the connection is lost: nobody knows what became of what is on its way. */
  disconnected(): void {
    this.#replies.disconnected();
  }

  close(): void {
    this.#replies.close();
  }
}
