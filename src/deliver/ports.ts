/** What targets need of the outside. */
import type { OuzelError } from '../errors.ts';

/** Hears of one publish, exactly once. */
export interface PublishListener {
  /** Stored by a stream; `duplicate` when the stream had a message of this id already. */
  confirmed(duplicate: boolean): void;
  failed(error: OuzelError): void;
}

export interface Publisher {
  /**
   * Publishes into a stream and reports its PubAck.
   *
   * @param headers A whole header block (`core/headers.ts`).
   * @param timeout Milliseconds to wait for the PubAck.
   */
  publish(
    subject: string,
    headers: string,
    body: Uint8Array | string,
    timeout: number,
    listener: PublishListener,
  ): void;
  /** Publishes without waiting for anybody: whether someone listens is not known. @throws OuzelError */
  publishCore(subject: string, headers: string, body: Uint8Array | string): void;
}
