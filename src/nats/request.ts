/** Requests over core NATS, many at once. */
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { headerStatus, headerValue } from '../core/headers.ts';
import type { ReplyListener, Requester } from '../deliver/ports.ts';
import { Replies, sendProblem, Sent } from './replies.ts';
import { headerBytes, type Wire } from './wire.ts';

/** The longest part of a service's own words that goes into an error. */
const LONGEST = 300;

/** A request that waits for its reply. */
class Pending extends Sent<ReplyListener> {
  constructor(subject: string, timeout: number, listener: ReplyListener) {
    super('request to', subject, 'reply', timeout, listener);
  }

  answered(message: Msg): void {
    const headers = headerBytes(message);
    if (headers === undefined) return this.listener.replied({ headers, body: message.data });
    if (headerStatus(headers) === 503) return this.failed('TARGET_UNAVAILABLE', 'nobody answers to this subject');
    // As the micro services of NATS say that they failed (ADR-32).
    const status = headerValue(headers, 'Nats-Service-Error-Code');
    const words = headerValue(headers, 'Nats-Service-Error');
    if (status === undefined && words === undefined) return this.listener.replied({ headers, body: message.data });
    const code = Number.parseInt(status ?? '', 10);
    const problem = `the service answered ${[status, words].filter(Boolean).join(' ').slice(0, LONGEST)}`;
    this.failed(code >= 500 ? 'TARGET_UNAVAILABLE' : 'TARGET_REJECTED', problem, Number.isNaN(code) ? undefined : code);
  }
}

export class NatsRequester implements Requester {
  readonly #connection: NatsConnection;
  readonly #wire: Wire;
  readonly #replies: Replies;

  /** @param onWarning Hears of what a listener threw; its run is ended by its time-out. */
  constructor(connection: NatsConnection, wire: Wire, onWarning: (message: string) => void = () => undefined) {
    this.#connection = connection;
    this.#wire = wire;
    this.#replies = new Replies(connection, onWarning);
  }

  request(subject: string, headers: string, body: Uint8Array | string, timeout: number, listener: ReplyListener): void {
    const problem = sendProblem(this.#connection, this.#wire, `request to ${subject}`, headers, body, this.#replies);
    if (problem !== undefined) return listener.failed(problem);
    const reply = this.#replies.expect(new Pending(subject, timeout, listener));
    this.#wire.publish(subject, reply, headers, body);
  }

  /** To be called when the connection is lost. */
  disconnected(): void {
    this.#replies.disconnected();
  }

  close(): void {
    this.#replies.close();
  }
}
