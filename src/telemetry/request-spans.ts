/** Spans of requests that come in: SERVER spans, continued from the sender's and handed on in the messages. */
import type { TraceContext } from '../core/ports.ts';
import { ATTRIBUTES } from './names.ts';
import { isSampled } from './sampling.ts';
import type { SpanEnding, SpanRecord, SpanTemplate } from './span-record.ts';
import type { Spans } from './spans.ts';
import { contextOf, type RemoteContext, spanIdOf, TRACE_ID, traceIdOf, traceparentOf } from './trace-context.ts';
import { PassedOn, Unsampled } from './unrecorded-spans.ts';

/** A request, as its span shows it: all of it from the configuration. */
export interface RequestDescription {
  readonly method: string;
  /** The path of the source. */
  readonly route: string;
  readonly source: string;
}

export interface RequestSpan extends Pick<TraceContext, 'traceparent' | 'tracestate'> {
  /** @param status Of the answer. @param result As in `ouzel_ingress_requests_total`. */
  end(status: number, result: string): void;
}

/** Begins the span of a request. */
export type RequestTracer = (
  description: RequestDescription,
  traceparent: string | undefined,
  tracestate: string | undefined,
) => RequestSpan;

/** Templates that are kept: sources come and go. */
const MOST_TEMPLATES = 1000;

export function requestTracer(spans: Spans): RequestTracer {
  const templates = new Map<string, SpanTemplate>();
  const templateOf = ({ method, route, source }: RequestDescription): SpanTemplate => {
    const key = `${method} ${route} ${source}`;
    const known = templates.get(key);
    if (known !== undefined) return known;
    if (templates.size >= MOST_TEMPLATES) templates.clear();
    const made = spans.template(`${method} ${route}`, 'server', {
      [ATTRIBUTES.httpMethod]: method,
      [ATTRIBUTES.httpRoute]: route,
      [ATTRIBUTES.source]: source,
    });
    templates.set(key, made);
    return made;
  };
  return (description, traceparent, tracestate) => {
    const parent = contextOf(traceparent, tracestate);
    const { sampler, ids } = spans;
    if (parent !== undefined && sampler.parentBased && !parent.sampled) return new PassedOn(parent);
    ids.next();
    const { bytes, at } = ids;
    if (parent !== undefined) parent.bytes.copy(bytes, at, 0, TRACE_ID);
    const sampled = (parent !== undefined && sampler.parentBased) || isSampled(sampler.ratio, { bytes, at });
    if (!sampled) return new Unsampled(bytes, at, parent?.tracestate);
    return new RecordedRequest(spans, templateOf(description), bytes, at, parent);
  };
}

class RecordedRequest implements RequestSpan, SpanRecord {
  readonly template: SpanTemplate;
  readonly bytes: Buffer;
  readonly at: number;
  readonly parent: RemoteContext | undefined;
  readonly link = undefined;
  readonly facts = undefined;
  ending: SpanEnding = { attributes: {}, error: undefined };
  readonly startedAt: number;
  endedAt = 0;
  readonly #spans: Spans;

  constructor(spans: Spans, template: SpanTemplate, bytes: Buffer, at: number, parent: RemoteContext | undefined) {
    this.#spans = spans;
    this.template = template;
    this.bytes = bytes;
    this.at = at;
    this.parent = parent;
    this.startedAt = spans.clock.now();
  }

  get remote(): boolean {
    return this.parent !== undefined;
  }

  get tracestate(): string | undefined {
    return this.parent?.tracestate;
  }

  get traceId(): string {
    return traceIdOf(this);
  }

  get spanId(): string {
    return spanIdOf(this);
  }

  get traceparent(): string {
    return traceparentOf(this, true);
  }

  end(status: number, result: string): void {
    if (this.endedAt !== 0) return;
    this.endedAt = this.#spans.clock.now();
    // A request that was wrong is no failure of who answers it.
    const failed = status >= 500;
    this.ending = {
      attributes: {
        [ATTRIBUTES.httpStatus]: status,
        [ATTRIBUTES.result]: result,
        ...(failed ? { [ATTRIBUTES.errorType]: String(status) } : {}),
      },
      error: failed ? `answered ${status}` : undefined,
    };
    this.#spans.emit(this);
  }
}
