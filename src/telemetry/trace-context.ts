/** W3C Trace Context: the ids of spans as bytes, and how they are read from and written to headers. */
import { randomFillSync } from 'node:crypto';
import type { Event } from '../core/event.ts';

/** Bytes of a trace id and of the span id behind it. */
export const TRACE_ID = 16;
export const SPAN_ID = 8;
const BOTH = TRACE_ID + SPAN_ID;
/** Ids that are drawn at once. */
const POOL = 256;

/** Where ids stand: the trace id at `at`, the span id behind it. Never written to once they were given out. */
export interface Ids {
  readonly bytes: Buffer;
  readonly at: number;
}

/** Draws random ids, many at once: one by one they would cost more than the rest of a span. */
export class IdPool {
  bytes = Buffer.alloc(0);
  at = 0;

  /** Moves on to the next ids, which `bytes` and `at` then show; all random, and not all zero. */
  next(): void {
    this.at += BOTH;
    if (this.at < this.bytes.length) return;
    this.bytes = randomFillSync(Buffer.allocUnsafeSlow(BOTH * POOL));
    this.at = 0;
    // An id of zeros means none. It will not happen, and costs nothing to rule out.
    for (let at = BOTH - 1; at < this.bytes.length; at += BOTH) {
      if (this.bytes[at] === 0) this.bytes[at] = 1;
      if (this.bytes[at - SPAN_ID] === 0) this.bytes[at - SPAN_ID] = 1;
    }
  }
}

/** The context that a producer sent along. */
export interface RemoteContext extends Ids {
  readonly sampled: boolean;
  readonly tracestate: string | undefined;
}

/** Version, trace id, span id, flags; a later version may go on behind a further dash. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED = 1;
/** A `tracestate` that is passed on: 512 characters, as the specification asks for at least, and none that it rules out. */
const TRACESTATE = /^[\u0020-\u007e]{1,512}$/;

/** The context in an event's headers; undefined without one, or with one that is not valid. */
export function remoteContext(event: Event): RemoteContext | undefined {
  if (event.carrier.headers === undefined) return undefined;
  const traceparent = event.header('traceparent');
  return traceparent === undefined ? undefined : contextOf(traceparent, event.header('tracestate'));
}

/** The context in these headers; undefined without one, or with one that is not valid. */
export function contextOf(traceparent: string | undefined, state: string | undefined): RemoteContext | undefined {
  if (traceparent === undefined) return undefined;
  const [, version, traceId = '', spanId = '', flags = '', more] = TRACEPARENT.exec(traceparent) ?? [];
  if (version === undefined || (version === '00' && more !== undefined)) return undefined;
  return {
    bytes: Buffer.from(traceId + spanId, 'hex'),
    at: 0,
    sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0,
    tracestate: state !== undefined && TRACESTATE.test(state) ? state : undefined,
  };
}

/** A context that is handed on as it came, while nothing is recorded; undefined where it is none. */
export function passedOn(
  traceparent: string | undefined,
  tracestate: string | undefined,
): { readonly traceparent: string; readonly tracestate: string | undefined } | undefined {
  const context = contextOf(traceparent, tracestate);
  return context && { traceparent: traceparentOf(context, context.sampled), tracestate: context.tracestate };
}

export const traceIdOf = ({ bytes, at }: Ids): string => bytes.toString('hex', at, at + TRACE_ID);
export const spanIdOf = ({ bytes, at }: Ids): string => bytes.toString('hex', at + TRACE_ID, at + BOTH);

/** The `traceparent` header of a span. */
export function traceparentOf({ bytes, at }: Ids, sampled: boolean): string {
  const hex = bytes.toString('hex', at, at + BOTH);
  return `00-${hex.slice(0, 2 * TRACE_ID)}-${hex.slice(2 * TRACE_ID)}-${sampled ? '01' : '00'}`;
}
