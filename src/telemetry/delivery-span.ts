/** The spans of deliveries that are recorded. */
import type { AttemptSpan, DeliverySpan } from '../core/ports.ts';
import type { Run } from '../core/run.ts';
import type { Delivery } from '../deliver/delivery.ts';
import type { OuzelError } from '../errors.ts';
import { ATTRIBUTES } from './names.ts';
import type { SpanEnding, SpanRecord, SpanTemplate } from './span-record.ts';
import type { Attempt, Spans } from './spans.ts';
import { type Ids, spanIdOf, TRACE_ID, traceIdOf, traceparentOf } from './trace-context.ts';

/** How the span of what was confirmed ends. */
export const CONFIRMED: SpanEnding = { attributes: { [ATTRIBUTES.result]: 'confirmed' }, error: undefined };

/** Links of a span, at most: what the SDKs of OpenTelemetry keep by default. */
const MOST_LINKS = 128;

/** A delivery within an attempt. That of a batch is within the attempt of its first event, and linked to the others'. */
export class RecordedDelivery implements DeliverySpan, SpanRecord {
  readonly bytes: Buffer;
  readonly at: number;
  readonly parent: Attempt;
  readonly remote = false;
  readonly link = undefined;
  readonly facts = undefined;
  others: readonly Ids[] | undefined;
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
    this.others = this.#delivery.run.together && othersOf(this.#delivery.run.together, this.parent);
    this.ending = this.#spans.delivered(error, this.#delivery.exchange?.answer?.status);
    this.#spans.emit(this);
  }
}

/** The attempts of a batch that are recorded, beside the one that its delivery is part of. */
const othersOf = (members: readonly Run[], parent: Attempt): readonly Ids[] =>
  members
    .map(({ span }) => span)
    .filter((span) => isRecorded(span) && span !== parent)
    .slice(0, MOST_LINKS) as Attempt[];

const isRecorded = (span: AttemptSpan | undefined): boolean => span !== undefined && 'facts' in span;
