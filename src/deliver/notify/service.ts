/**
 * What a messaging service is made of: its options, how event data is written so that it is only text there, and how a
 * note is sent. One file each, and one line in `index.ts`.
 */
import type { z } from 'zod';
import type { Run } from '../../core/run.ts';
import type { Evaluate, Expression } from '../../expression/index.ts';
import type { OutgoingContext } from '../outgoing.ts';
import type { MessageIds } from '../ids.ts';
import type { Preview } from '../route.ts';

/** What is to be said. Its texts are written for the service already; only their length is not. */
export interface Note {
  /** The same over all attempts at a delivery. */
  readonly id: string;
  /** One line. */
  readonly title: string | undefined;
  readonly text: string;
  /** `and 499 more in 15 minutes`: stands below the text, and is never cut. */
  readonly tail: string | undefined;
  /** What else the service renders for an event. */
  readonly more: Readonly<Record<string, string>>;
}

export interface ServiceContext extends OutgoingContext {
  bind(expression: Expression): Evaluate;
  /** Ids of the route's deliveries. */
  readonly messageId: MessageIds;
  /** Milliseconds for a whole exchange. */
  readonly timeout: number;
  /** Whether the host may have a private or special address. */
  readonly allowPrivate: boolean;
  readonly log: (fields: Readonly<Record<string, unknown>>, message: string) => void;
}

/** A service made ready for a route. */
export interface PreparedService {
  /** Who is talked to. */
  readonly hostname: string;
  /** Writes what an event puts into a text. Default: as it is. */
  readonly encode?: (value: string) => string;
  /**
   * Renders what only this service has.
   *
   * @throws OuzelError EVENT_MISSING_FIELD, EVENT_EXPRESSION
   */
  more?(run: Run): Readonly<Record<string, string>>;
  /** A note among others, in one line. Default: its beginning. */
  excerpt?(note: Note): string;
  /** Whether an event is never held back: it ends what another one began. */
  urgent?(note: Note): boolean;
  /** @throws OuzelError when the service does not have it */
  send(note: Note, signal: AbortSignal): Promise<void>;
  /** What `send` would send, without secrets. */
  preview(note: Note): Preview;
  close(): void;
}

export interface Service<Schema extends z.ZodType = z.ZodType> {
  /** Its key in the configuration: `{ slack: … }`. */
  readonly name: string;
  readonly summary: string;
  readonly example: string;
  readonly options: Schema;
  /** Without I/O. */
  prepare(options: z.output<Schema>, context: ServiceContext): PreparedService;
}

/** Lets the options of `prepare` be typed by the schema beside it. */
export const defineService = <Schema extends z.ZodType>(service: Service<Schema>): Service<Schema> => service;
