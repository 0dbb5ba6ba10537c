/** What targets need of the outside. */
import type { OuzelError } from '../errors.ts';

/** Hears of one publish, exactly once. */
export interface PublishListener {
  /**
   * Stored by a stream; `duplicate` when the stream had a message of this id already.
   *
   * @param sequence Its number in the stream, or that of the message that was there already.
   * @param stream The stream that has it.
   */
  confirmed(duplicate: boolean, sequence?: number, stream?: string): void;
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

/** The reply to a request. */
export interface Reply {
  /** The header block, or undefined. */
  readonly headers: Uint8Array | undefined;
  readonly body: Uint8Array;
}

/** Hears of one request, exactly once. */
export interface ReplyListener {
  replied(reply: Reply): void;
  /** Nobody answered, or whoever did said no. */
  failed(error: OuzelError): void;
}

export interface Requester {
  /**
   * Asks whoever listens to a subject, and reports the first reply.
   *
   * @param headers A whole header block (`core/headers.ts`).
   * @param timeout Milliseconds to wait for the reply.
   */
  request(subject: string, headers: string, body: Uint8Array | string, timeout: number, listener: ReplyListener): void;
}

/** How a file is cut into several. */
export interface Rotation {
  /** Bytes; undefined: of any size. */
  readonly size: number | undefined;
  /** Milliseconds; undefined: never. */
  readonly every: number | undefined;
  /** Files kept beside the one that is written; undefined: all. */
  readonly keep: number | undefined;
}

/** Hears of one line, exactly once. */
export interface LineListener {
  /** It is on the disk. */
  written(): void;
  failed(error: OuzelError): void;
}

export interface Files {
  /** Appends a line to a file and reports when it is on the disk. @param path Absolute. */
  append(path: string, line: string, rotation: Rotation, listener: LineListener): void;
}
