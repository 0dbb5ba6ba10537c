/** A span that has ended, and who takes it: what recording (`spans.ts`) and exporting (`otlp/`, `sdk/`) share. */
import type { Ids, RemoteContext } from './trace-context.ts';

export type AttributeValue = string | number;
export type Attributes = Readonly<Record<string, AttributeValue>>;
export type SpanKind = 'internal' | 'server' | 'producer' | 'consumer' | 'client';

/** What many spans have in common. Made once, so that an exporter can keep its encoded form by identity. */
export interface SpanTemplate {
  readonly name: string;
  readonly kind: SpanKind;
  readonly attributes: Attributes;
}

/** How a span ended. Made once for each kind of ending. */
export interface SpanEnding {
  readonly attributes: Attributes;
  /** What went wrong, without anything of the event; undefined when nothing did. */
  readonly error: string | undefined;
}

/** What an attempt's span says of its event. */
export interface EventFacts {
  readonly subject: string;
  readonly messageId: string;
  readonly sequence: number;
  readonly attempt: number;
  /** Undefined for the first passage of an event. */
  readonly run: string | undefined;
  readonly size: number;
  readonly retryDelay: number | undefined;
  /** Milliseconds for which it waited for throttles. */
  readonly throttledFor: number;
}

/** A span that has ended, as exporters get it. */
export interface SpanRecord extends Ids {
  readonly template: SpanTemplate;
  readonly ending: SpanEnding;
  /** The span that this one is part of; undefined for the first of a trace. */
  readonly parent: Ids | undefined;
  /** Whether the parent is in another process. */
  readonly remote: boolean;
  /** A context that this one follows without being part of it. */
  readonly link: RemoteContext | undefined;
  readonly tracestate: string | undefined;
  readonly facts: EventFacts | undefined;
  /** Milliseconds since the epoch, with fractions. */
  readonly startedAt: number;
  readonly endedAt: number;
}

/** Where spans go. */
export interface SpanExporter {
  /** Takes a span that has ended. Never blocks and never throws: what there is no room for is dropped and counted. */
  export(span: SpanRecord): void;
  /** Sends what is left, then closes. What has not arrived by the deadline is dropped and counted. */
  shutdown(deadline: Promise<void>): Promise<void>;
}
