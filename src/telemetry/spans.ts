/**
 * Records what is worth a span: each attempt of an event, and each of its deliveries. A span is begun late, when its ids
 * are asked for or when it ends, so that an event that goes nowhere costs one object. Where spans go is up to a
 * `SpanExporter`: the OTLP encoder of our own (`otlp.ts`), OpenTelemetry's SDK (`sdk.ts`), or a list in a test.
 */
import type { Outcome } from '../core/plan.ts';
import type { AttemptSpan, DeliverySpan, Observer, Tracer } from '../core/ports.ts';
import type { Failure, Run } from '../core/run.ts';
import { covers } from '../core/subjects.ts';
import type { Delivery } from '../deliver/delivery.ts';
import type { Route } from '../deliver/route.ts';
import { ERRORS, type OuzelError } from '../errors.ts';
import type { Cell } from './cells.ts';
import { Clock } from './clock.ts';
import { ATTRIBUTES, MESSAGING_SYSTEM } from './names.ts';
import { isSampled, type Sampler } from './sampling.ts';
import type {
  Attributes,
  EventFacts,
  SpanEnding,
  SpanExporter,
  SpanKind,
  SpanRecord,
  SpanTemplate,
} from './span-record.ts';
import {
  IdPool,
  type RemoteContext,
  remoteContext,
  spanIdOf,
  TRACE_ID,
  traceIdOf,
  traceparentOf,
} from './trace-context.ts';
import { PassedOn, Unsampled } from './unrecorded-spans.ts';

/** What is known of a consumer whose events are followed. */
export interface TracedConsumer {
  readonly name: string;
  readonly stream: string;
  /** The patterns that its events' subjects are of. */
  readonly subjects: readonly string[];
}

/** Milliseconds of age beyond which an event begins a trace of its own, with a link to its producer's. */
const OLD = 5 * 60_000;
/** Characters of a subject or message id in a span, at most. */
const LONGEST = 512;

const NO_ATTRIBUTES: Attributes = Object.freeze({});
const CONFIRMED: SpanEnding = { attributes: { [ATTRIBUTES.result]: 'confirmed' }, error: undefined };

const shortened = (text: string): string => (text.length > LONGEST ? text.slice(0, LONGEST) : text);

export interface SpansOptions {
  readonly exporter: SpanExporter;
  readonly sampler: Sampler;
  /** Counts what an exporter threw at. */
  readonly dropped: Cell;
  /** Takes secrets out of what comes from the configuration. */
  readonly redact?: (text: string) => string;
}

/** Makes spans, for all consumers of a daemon. */
export class Spans {
  readonly sampler: Sampler;
  readonly clock = new Clock();
  readonly ids = new IdPool();
  readonly #exporter: SpanExporter;
  readonly #dropped: Cell;
  readonly #redact: (text: string) => string;
  readonly #routes = new WeakMap<Route, SpanTemplate>();
  readonly #outcomes = new WeakMap<Outcome, SpanEnding>();
  readonly #endings = new Map<string, SpanEnding>();

  constructor({ exporter, sampler, dropped, redact = (text) => text }: SpansOptions) {
    this.#exporter = exporter;
    this.#dropped = dropped;
    this.sampler = sampler;
    this.#redact = redact;
  }

  /** The tracer of one consumer. */
  tracerFor(consumer: TracedConsumer): Tracer {
    return new ConsumerTracer(this, consumer);
  }

  /** Hands a span over. Whoever looks on cannot break the work. */
  emit(record: SpanRecord): void {
    try {
      this.#exporter.export(record);
    } catch {
      this.#dropped.increment();
    }
  }

  /** Ends the spans of attempts. */
  readonly observer: Observer = {
    settled: (run, outcome) => {
      const { span } = run;
      if (!(span instanceof Attempt)) return;
      const { failure } = span;
      span.finish(failure === undefined ? this.#outcome(outcome) : this.#deadLettered(failure.error, outcome.reason));
    },
    retried: (run, failure, delay) => this.#retried(run, failure.error, delay),
    deadLettered: (run, failure) => {
      const { span } = run;
      if (span instanceof Attempt) span.failure = failure;
    },
    // Its span goes on: the event is still in hand.
    refused: () => undefined,
  };

  #retried(run: Run, error: OuzelError, delay: number): void {
    const { span } = run;
    if (span instanceof Attempt) span.finish(this.#failure(`retry ${error.code}`, error, NO_ATTRIBUTES), delay);
  }

  template(name: string, kind: SpanKind, attributes: Attributes): SpanTemplate {
    const clean = Object.entries(attributes).map(([key, value]) => [
      key,
      typeof value === 'string' ? shortened(this.#redact(value)) : value,
    ]);
    return { name: shortened(this.#redact(name)), kind, attributes: Object.fromEntries(clean) as Attributes };
  }

  routeTemplate(route: Route): SpanTemplate {
    const known = this.#routes.get(route);
    if (known !== undefined) return known;
    const { kind, name, attributes } = route.target.span ?? {
      kind: 'client',
      name: `deliver ${route.targetName}`,
      attributes: NO_ATTRIBUTES,
    };
    const template = this.template(name, kind, {
      ...attributes,
      [ATTRIBUTES.route]: route.name,
      [ATTRIBUTES.target]: route.targetName,
    });
    this.#routes.set(route, template);
    return template;
  }

  /** The ending of a delivery. @param status Of the HTTP answer, where there is one. */
  delivered(error: OuzelError | undefined, status: number | undefined): SpanEnding {
    const answered: Attributes = status === undefined ? NO_ATTRIBUTES : { [ATTRIBUTES.httpStatus]: status };
    if (error === undefined) return status === undefined ? CONFIRMED : this.#confirmed(status, answered);
    const result = error.kind === 'unavailable' ? 'unavailable' : 'rejected';
    return this.#failure(`delivery ${error.code} ${status ?? ''}`, error, {
      [ATTRIBUTES.result]: result,
      ...answered,
    });
  }

  #confirmed(status: number, answered: Attributes): SpanEnding {
    const key = `confirmed ${status}`;
    const ending = this.#endings.get(key) ?? {
      attributes: { ...CONFIRMED.attributes, ...answered },
      error: undefined,
    };
    this.#endings.set(key, ending);
    return ending;
  }

  #outcome(outcome: Outcome): SpanEnding {
    const known = this.#outcomes.get(outcome);
    if (known !== undefined) return known;
    const { kind, reason } = outcome;
    const ending: SpanEnding = {
      attributes: {
        [ATTRIBUTES.outcome]: kind,
        ...(reason === '' ? {} : { [ATTRIBUTES.reason]: shortened(this.#redact(reason)) }),
      },
      error: undefined,
    };
    this.#outcomes.set(outcome, ending);
    return ending;
  }

  #deadLettered(error: OuzelError, reason: string): SpanEnding {
    return this.#failure(`dead_letter ${error.code} ${reason}`, error, {
      [ATTRIBUTES.outcome]: 'dead_lettered',
      [ATTRIBUTES.reason]: reason,
    });
  }

  /** The text of an error can hold what stands in the event; its code and what the code means cannot. */
  #failure(key: string, { code }: OuzelError, attributes: Attributes): SpanEnding {
    const known = this.#endings.get(key);
    if (known !== undefined) return known;
    const ending: SpanEnding = {
      attributes: { ...attributes, [ATTRIBUTES.errorType]: code },
      error: `${code}: ${ERRORS[code].summary}`,
    };
    this.#endings.set(key, ending);
    return ending;
  }
}

class ConsumerTracer implements Tracer {
  readonly spans: Spans;
  readonly #stream: string;
  readonly #templates: readonly { readonly pattern: string; readonly template: SpanTemplate }[];
  readonly #otherwise: SpanTemplate;

  constructor(spans: Spans, { name, stream, subjects }: TracedConsumer) {
    this.spans = spans;
    this.#stream = stream;
    const template = (pattern: string | undefined): SpanTemplate =>
      spans.template(`process ${pattern ?? stream}`, 'consumer', {
        [ATTRIBUTES.system]: MESSAGING_SYSTEM,
        [ATTRIBUTES.operationType]: 'process',
        [ATTRIBUTES.operationName]: 'process',
        [ATTRIBUTES.consumerGroup]: name,
        [ATTRIBUTES.stream]: stream,
        ...(pattern === undefined ? {} : { [ATTRIBUTES.destinationTemplate]: pattern }),
      });
    this.#templates = subjects.map((pattern) => ({ pattern, template: template(pattern) }));
    const [only] = this.#templates;
    this.#otherwise = only !== undefined && this.#templates.length === 1 ? only.template : template(undefined);
  }

  begin(run: Run): AttemptSpan {
    const { spans } = this;
    const { event } = run;
    const context = remoteContext(event);
    const old = context !== undefined && Date.now() - event.position.milliseconds > OLD;
    const parent = old ? undefined : context;
    const { sampler } = spans;
    if (parent !== undefined && sampler.parentBased && !parent.sampled) return new PassedOn(parent);
    spans.ids.next();
    const { bytes, at } = spans.ids;
    if (parent !== undefined) parent.bytes.copy(bytes, at, 0, TRACE_ID);
    const sampled = (parent !== undefined && sampler.parentBased) || isSampled(sampler.ratio, { bytes, at });
    if (!sampled) return new Unsampled(bytes, at, parent?.tracestate);
    return new Attempt(this, run, bytes, at, parent, old ? context : undefined);
  }

  template(subject: string): SpanTemplate {
    if (this.#templates.length < 2) return this.#otherwise;
    return this.#templates.find(({ pattern }) => covers(pattern, subject))?.template ?? this.#otherwise;
  }

  messageId(run: Run): string {
    const { event } = run;
    const id = event.carrier.headers === undefined ? undefined : event.header('Nats-Msg-Id');
    return id === undefined || id === '' ? `${this.#stream}:${event.position.sequence}` : shortened(id);
  }
}

/** The span of an attempt that is recorded. It is its own record and its own facts: one object an event. */
class Attempt implements AttemptSpan, SpanRecord, EventFacts {
  readonly bytes: Buffer;
  readonly at: number;
  readonly parent: RemoteContext | undefined;
  readonly link: RemoteContext | undefined;
  /** Set when the event went into the dead letters, just before it is settled. */
  failure: Failure | undefined;
  ending: SpanEnding = CONFIRMED;
  attempt = 0;
  retryDelay: number | undefined;
  startedAt = 0;
  endedAt = 0;
  readonly #tracer: ConsumerTracer;
  readonly #run: Run;

  constructor(
    tracer: ConsumerTracer,
    run: Run,
    bytes: Buffer,
    at: number,
    parent: RemoteContext | undefined,
    link: RemoteContext | undefined,
  ) {
    this.#tracer = tracer;
    this.#run = run;
    this.bytes = bytes;
    this.at = at;
    this.parent = parent;
    this.link = link;
    // Now, while it is the one that runs: when it ends, the next one may be known already.
    this.attempt = run.attempt;
  }

  get template(): SpanTemplate {
    return this.#tracer.template(this.#run.subject);
  }

  get remote(): boolean {
    return this.parent !== undefined;
  }

  get facts(): EventFacts {
    return this;
  }

  get subject(): string {
    return shortened(this.#run.subject);
  }

  get messageId(): string {
    return this.#tracer.messageId(this.#run);
  }

  get sequence(): number {
    return this.#run.sequence;
  }

  get run(): string | undefined {
    return this.#run.id === '' ? undefined : this.#run.id;
  }

  get size(): number {
    return this.#run.event.carrier.body.length;
  }

  get throttledFor(): number {
    return this.#run.throttledFor;
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

  deliver(delivery: Delivery): DeliverySpan {
    return new RecordedDelivery(this.#tracer.spans, this, delivery);
  }

  /** Hands the span to the exporter. What comes later comes too late. */
  finish(ending: SpanEnding, retryDelay?: number): void {
    if (this.endedAt !== 0) return;
    const { clock } = this.#tracer.spans;
    this.endedAt = clock.now();
    this.startedAt = clock.at(this.#run.startedAt);
    this.ending = ending;
    this.retryDelay = retryDelay;
    this.#tracer.spans.emit(this);
  }
}

class RecordedDelivery implements DeliverySpan, SpanRecord {
  readonly bytes: Buffer;
  readonly at: number;
  readonly parent: Attempt;
  readonly remote = false;
  readonly link = undefined;
  readonly facts = undefined;
  ending: SpanEnding = CONFIRMED;
  startedAt = 0;
  endedAt = 0;
  readonly #spans: Spans;
  readonly #delivery: Delivery;

  constructor(spans: Spans, parent: Attempt, delivery: Delivery) {
    spans.ids.next();
    const { bytes, at } = spans.ids;
    parent.bytes.copy(bytes, at, parent.at, parent.at + TRACE_ID);
    this.bytes = bytes;
    this.at = at;
    this.parent = parent;
    this.#spans = spans;
    this.#delivery = delivery;
  }

  get template(): SpanTemplate {
    return this.#spans.routeTemplate(this.#delivery.route);
  }

  get tracestate(): string | undefined {
    return this.parent.tracestate;
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

  end(error: OuzelError | undefined): void {
    if (this.endedAt !== 0) return;
    const { clock } = this.#spans;
    this.endedAt = clock.now();
    this.startedAt = clock.at(this.#delivery.startedAt);
    this.ending = this.#spans.delivered(error, this.#delivery.exchange?.answer?.status);
    this.#spans.emit(this);
  }
}
