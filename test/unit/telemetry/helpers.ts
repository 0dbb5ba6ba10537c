/** A consumer whose spans are kept in a list. */
import type { Step } from '../../../src/core/plan.ts';
import { deliverStep, type Route } from '../../../src/deliver/route.ts';
import { Cell } from '../../../src/telemetry/cells.ts';
import type { Sampler } from '../../../src/telemetry/sampling.ts';
import type { SpanExporter, SpanRecord } from '../../../src/telemetry/span-record.ts';
import { Spans } from '../../../src/telemetry/spans.ts';
import { spanIdOf, traceIdOf } from '../../../src/telemetry/trace-context.ts';
import { harness, outcome, POLICY } from '../core/helpers.ts';

/** Keeps what it is given, and what a span looked like when it was given. */
class ListExporter implements SpanExporter {
  readonly records: SpanRecord[] = [];

  export(span: SpanRecord): void {
    this.records.push(span);
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}

/** A span in plain words. */
export const described = (record: SpanRecord) => ({
  name: record.template.name,
  kind: record.template.kind,
  traceId: traceIdOf(record),
  spanId: spanIdOf(record),
  parent: record.parent === undefined ? undefined : spanIdOf(record.parent),
  remote: record.remote,
  link: record.link === undefined ? undefined : `${traceIdOf(record.link)} ${spanIdOf(record.link)}`,
  tracestate: record.tracestate,
  attributes: {
    ...record.template.attributes,
    ...(record.facts === undefined
      ? {}
      : {
          'messaging.destination.name': record.facts.subject,
          'messaging.message.id': record.facts.messageId,
          'messaging.message.body.size': record.facts.size,
          'ouzel.sequence': record.facts.sequence,
          'ouzel.attempt': record.facts.attempt,
          ...(record.facts.run === undefined ? {} : { 'ouzel.run': record.facts.run }),
          ...(record.facts.retryDelay === undefined ? {} : { 'ouzel.retry_delay_ms': record.facts.retryDelay }),
        }),
    ...record.ending.attributes,
  },
  error: record.ending.error,
});

export interface TracedOptions {
  readonly routes?: readonly Route[];
  readonly steps?: readonly Step[];
  readonly subjects?: readonly string[];
  readonly sampler?: Sampler;
  readonly attempts?: number;
  readonly redact?: (text: string) => string;
}

const EVERY: Sampler = { parentBased: true, ratio: 1 };

export function traced(options: TracedOptions = {}) {
  const { routes, steps = [], subjects = ['events.>'], sampler = EVERY, attempts = POLICY.attempts } = options;
  const exporter = new ListExporter();
  const dropped = new Cell();
  const spans = new Spans({
    exporter,
    sampler,
    dropped,
    ...(options.redact === undefined ? {} : { redact: options.redact }),
  });
  const made = harness({
    steps: routes === undefined ? steps : [...steps, deliverStep(routes, outcome('filtered', 'no_route'))],
    retry: { attempts },
    observer: spans.observer,
    tracer: spans.tracerFor({ name: 'billing', stream: 'EVENTS', subjects }),
  });
  return { ...made, exporter, dropped, spans: () => exporter.records.map(described) };
}
