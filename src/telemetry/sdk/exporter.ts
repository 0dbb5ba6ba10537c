/**
 * Spans through OpenTelemetry's SDK for Node.js: for the protocols that our own encoder does not speak, at several times
 * its cost. A span that has ended is told to the SDK with the ids and times that it has, so that both ways give the same.
 */
import {
  type Context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind as ApiSpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer,
} from '@opentelemetry/api';
import { ExportResultCode, TraceState } from '@opentelemetry/core';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import type { Resource } from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { AlwaysOnSampler, BatchSpanProcessor, type SpanExporter as SdkSpanExporter } from '@opentelemetry/sdk-trace';
import type { Cell } from '../cells.ts';
import { ATTRIBUTES } from '../names.ts';
import type { HealthListener, QueueLimits } from '../otlp/exporter.ts';
import type { Attributes, SpanExporter, SpanKind, SpanRecord } from '../span-record.ts';
import { type Ids, spanIdOf, traceIdOf } from '../trace-context.ts';

const KINDS: Readonly<Record<SpanKind, ApiSpanKind>> = {
  internal: ApiSpanKind.INTERNAL,
  server: ApiSpanKind.SERVER,
  client: ApiSpanKind.CLIENT,
  producer: ApiSpanKind.PRODUCER,
  consumer: ApiSpanKind.CONSUMER,
};

/** All attributes of a span. */
export function attributesOf({ template, facts, ending }: SpanRecord): Attributes {
  return {
    ...template.attributes,
    ...(facts === undefined
      ? {}
      : {
          [ATTRIBUTES.destinationName]: facts.subject,
          [ATTRIBUTES.messageId]: facts.messageId,
          [ATTRIBUTES.sequence]: facts.sequence,
          [ATTRIBUTES.attempt]: facts.attempt,
          ...(facts.run === undefined ? {} : { [ATTRIBUTES.run]: facts.run }),
          [ATTRIBUTES.bodySize]: facts.size,
          ...(facts.throttledFor > 0 ? { [ATTRIBUTES.throttled]: Math.round(facts.throttledFor) } : {}),
          ...(facts.retryDelay === undefined ? {} : { [ATTRIBUTES.retryDelay]: Math.round(facts.retryDelay) }),
        }),
    ...ending.attributes,
  };
}

function contextOf(ids: Ids, isRemote: boolean, tracestate: string | undefined, sampled = true): SpanContext {
  return {
    traceId: traceIdOf(ids),
    spanId: spanIdOf(ids),
    traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote,
    ...(tracestate === undefined ? {} : { traceState: new TraceState(tracestate) }),
  };
}

/** Repeats a finished span with the SDK. The tracer's id generator must give the ids of `record`. */
export function repeatSpan(tracer: Tracer, record: SpanRecord): Span {
  const { template, parent, remote, link, tracestate, ending } = record;
  const context: Context =
    parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, contextOf(parent, remote, tracestate));
  const links: Link[] = link === undefined ? [] : [{ context: contextOf(link, true, link.tracestate, link.sampled) }];
  const options = { kind: KINDS[template.kind], startTime: record.startedAt, attributes: attributesOf(record), links };
  const span = tracer.startSpan(template.name, options, context);
  if (ending.error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: ending.error });
  span.end(record.endedAt);
  return span;
}

/** Gives the SDK the ids that a span has already. */
export class GivenIds {
  current: Ids | undefined;

  generateTraceId(): string {
    return this.current === undefined ? '' : traceIdOf(this.current);
  }

  generateSpanId(): string {
    return this.current === undefined ? '' : spanIdOf(this.current);
  }
}

export interface SdkExporterOptions {
  readonly protocol: 'grpc' | 'http/json';
  /** Of the traces endpoint; undefined: as the environment says. */
  readonly url: string | undefined;
  readonly resource: Resource;
  readonly version: string;
  readonly limits: QueueLimits;
  readonly dropped: Cell;
  readonly health: HealthListener;
}

class SdkExporter implements SpanExporter {
  readonly #sdk: NodeSDK;
  readonly #ids = new GivenIds();
  readonly #tracer: Tracer;
  readonly #dropped: Cell;
  readonly #queue: number;
  #held = 0;
  #failing = false;

  constructor({ protocol, url, resource, version, limits, dropped, health }: SdkExporterOptions) {
    this.#dropped = dropped;
    this.#queue = limits.queue;
    const target = url === undefined ? {} : { url };
    const exporter: SdkSpanExporter = protocol === 'grpc' ? new GrpcExporter(target) : new JsonExporter(target);
    this.#sdk = new NodeSDK({
      resource,
      autoDetectResources: false,
      // What is repeated to the SDK was sampled already.
      sampler: new AlwaysOnSampler(),
      idGenerator: this.#ids,
      spanProcessors: [
        new BatchSpanProcessor({
          exporter: this.#counted(exporter, health),
          maxQueueSize: limits.queue,
          maxExportBatchSize: limits.batch,
          scheduledDelayMillis: limits.delay,
          exportTimeoutMillis: limits.timeout,
        }),
      ],
      metricReaders: [],
      logRecordProcessors: [],
      instrumentations: [],
      textMapPropagator: null,
    });
    this.#sdk.start();
    this.#tracer = trace.getTracer('ouzel', version);
  }

  export(record: SpanRecord): void {
    if (this.#held >= this.#queue) return this.#dropped.increment();
    this.#held++;
    this.#ids.current = record;
    repeatSpan(this.#tracer, record);
  }

  async shutdown(deadline: Promise<void>): Promise<void> {
    // What it could not deliver was counted by then.
    await Promise.race([this.#sdk.shutdown().catch(() => undefined), deadline]);
    this.#dropped.add(this.#held);
    this.#held = 0;
    trace.disable();
  }

  #counted(exporter: SdkSpanExporter, health: HealthListener): SdkSpanExporter {
    return {
      export: (spans, done) =>
        exporter.export(spans, (result) => {
          this.#held = Math.max(0, this.#held - spans.length);
          if (result.code === ExportResultCode.SUCCESS) {
            if (this.#failing) health.recovered();
            this.#failing = false;
          } else {
            this.#dropped.add(spans.length);
            if (!this.#failing) health.failing(result.error?.message ?? 'the export failed');
            this.#failing = true;
          }
          done(result);
        }),
      shutdown: () => exporter.shutdown(),
      forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
    };
  }
}

/** Starts the SDK with the exporter of a protocol. */
export const startSdkExporter = (options: SdkExporterOptions): SpanExporter => new SdkExporter(options);
