/**
 * Turns traces on: reads what the configuration and the OTEL_* variables say, and puts recording and export together.
 * Imported only when an endpoint is configured, since it brings OpenTelemetry along.
 */
import type { Observer, Tracer } from '../core/ports.ts';
import { VERSION } from '../version.ts';
import type { Cell } from './cells.ts';
import type { Logger } from './log.ts';
import { type HealthListener, OtlpExporter, type QueueLimits } from './otlp/exporter.ts';
import { createHttpSender } from './otlp/http.ts';
import { requestTracer, type RequestTracer } from './request-spans.ts';
import { samplerFrom } from './sampling.ts';
import { detectResource, httpSettings, plainAttributes } from './sdk/environment.ts';
import type { SpanExporter } from './span-record.ts';
import { Spans, type TracedConsumer } from './spans.ts';

export interface Traces {
  tracerFor(consumer: TracedConsumer): Tracer;
  /** Begins the spans of requests that come in. */
  readonly request: RequestTracer;
  /** Ends the spans of attempts. */
  readonly observer: Observer;
  /** Sends what is left, until the deadline at most. */
  shutdown(deadline: Promise<void>): Promise<void>;
}

export interface TracesOptions {
  /** Base URL of the collector. */
  readonly endpoint: string;
  readonly sample: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
  readonly dropped: Cell;
  /** Takes secrets out of a text. */
  readonly redact: (text: string) => string;
}

type Env = TracesOptions['env'];

/** Spans in the queue, in a request, and milliseconds: for tens of thousands of events a second. OTEL_BSP_* changes them. */
const LIMITS: QueueLimits = { queue: 65_536, batch: 1024, delay: 1000, timeout: 30_000 };

function limitsFrom(env: Env, warn: (message: string) => void): QueueLimits {
  const read = (name: string, preset: number): number => {
    const text = env[name]?.trim() ?? '';
    const value = Number(text);
    if (text === '' || (Number.isInteger(value) && value > 0)) return text === '' ? preset : value;
    warn(`${name} is "${text}" and not a whole number above 0; ${preset} is used`);
    return preset;
  };
  const queue = read('OTEL_BSP_MAX_QUEUE_SIZE', LIMITS.queue);
  return {
    queue,
    batch: Math.min(queue, read('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', LIMITS.batch)),
    delay: read('OTEL_BSP_SCHEDULE_DELAY', LIMITS.delay),
    timeout: read('OTEL_BSP_EXPORT_TIMEOUT', LIMITS.timeout),
  };
}

function protocolFrom(env: Env, warn: (message: string) => void): 'grpc' | 'http/json' | 'http/protobuf' {
  const name = env['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL']?.trim() || env['OTEL_EXPORTER_OTLP_PROTOCOL']?.trim();
  if (name === 'grpc' || name === 'http/json') return name;
  if (name !== undefined && name !== '' && name !== 'http/protobuf')
    warn(`OTEL_EXPORTER_OTLP_PROTOCOL is "${name}", which is not known; http/protobuf is used`);
  return 'http/protobuf';
}

/** Milliseconds between two lines about a collector that comes and goes. */
const QUIET = 60_000;

/** Says that the collector is away, and that it is back: once each, and not again and again of one that flaps. */
function healthLog(endpoint: string, logger: Logger, dropped: Cell): HealthListener {
  let quietUntil = 0;
  let said = false;
  return {
    failing: (reason) => {
      const now = performance.now();
      if (said || now < quietUntil) return;
      said = true;
      quietUntil = now + QUIET;
      logger.warn(
        { endpoint, reason },
        'spans cannot be delivered; what the queue does not hold is dropped and counted',
      );
    },
    recovered: () => {
      if (!said) return;
      said = false;
      logger.info({ endpoint, spans_dropped: dropped.value }, 'spans are delivered again');
    },
  };
}

/** Whether the environment turns traces off, whatever the configuration says. */
const turnedOff = (env: Env): boolean =>
  env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true' || env['OTEL_TRACES_EXPORTER']?.trim() === 'none';

/** Starts to record and export. Undefined when the environment turns traces off. */
export async function startTraces(options: TracesOptions): Promise<Traces | undefined> {
  const { endpoint, sample, env, logger, dropped, redact } = options;
  if (turnedOff(env)) {
    logger.info('traces are off: OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER says so');
    return undefined;
  }
  const warn = (message: string): void => logger.warn(message);
  const protocol = protocolFrom(env, warn);
  const limits = limitsFrom(env, warn);
  const sampler = samplerFrom(env, sample, warn);
  // An endpoint that came from the environment is left to it: a variable for traces alone goes before it there.
  const base = endpoint === env['OTEL_EXPORTER_OTLP_ENDPOINT'] ? undefined : endpoint.replace(/\/+$/, '');
  const health = healthLog(endpoint, logger, dropped);
  const resource = await detectResource(VERSION);
  let exporter: SpanExporter;
  if (protocol === 'http/protobuf') {
    const settings = await httpSettings(base === undefined ? undefined : `${base}/v1/traces`);
    const origin = { resource: plainAttributes(resource), scope: { name: 'ouzel', version: VERSION } };
    exporter = new OtlpExporter({ origin, sender: createHttpSender(settings), limits, dropped, health });
  } else {
    const { startSdkExporter } = await import('./sdk/exporter.ts');
    const url = protocol === 'grpc' || base === undefined ? base : `${base}/v1/traces`;
    exporter = startSdkExporter({ protocol, url, resource, version: VERSION, limits, dropped, health });
  }
  const spans = new Spans({ exporter, sampler, dropped, redact });
  logger.info({ endpoint, protocol, sample: sampler.ratio }, 'traces are on');
  return {
    tracerFor: (consumer) => spans.tracerFor(consumer),
    request: requestTracer(spans),
    observer: spans.observer,
    shutdown: (deadline) => exporter.shutdown(deadline),
  };
}
