/** The deliveries of a batch: one for all its events where the target takes batches, else one for each. */
import { Batch } from '../core/batch.ts';
import { Run } from '../core/run.ts';
import type { AttemptSpan } from '../core/ports.ts';
import { asOuzelError, type OuzelError } from '../errors.ts';
import { Delivery } from './delivery.ts';
import type { Route } from './route.ts';

/** A batch, or a part of one, as its target and the expressions see it. It is no run of its own, and never settled. */
export class BatchRun extends Run {
  readonly #leader: Run;

  constructor(leader: Run, batch: Batch) {
    super(leader.consumer, leader.plan, leader.event, leader.receivedAt, leader.handed);
    this.#leader = leader;
    this.batch = batch;
    this.record = leader.record;
  }

  override get together(): readonly Run[] | undefined {
    return this.batch?.members;
  }

  override get span(): AttemptSpan | undefined {
    return this.#leader.span;
  }
}

/** One delivery of several events: what the target answers holds for each of them. */
class BatchDelivery extends Delivery {
  readonly #parts: readonly Delivery[];
  readonly #bisect: boolean;

  constructor(parts: readonly Delivery[], bisect: boolean) {
    const [first] = parts as [Delivery];
    const batch = new Batch(
      first.run.batch?.key,
      parts.map(({ run }) => run),
    );
    super(new BatchRun(first.run, batch), first.route);
    this.#parts = parts;
    this.#bisect = bisect;
    for (const part of parts) {
      part.batch = batch;
      part.whole = this;
      part.startedAt = this.startedAt;
      part.run.startedAt = this.startedAt;
    }
  }

  /** Several events wait for it. */
  override get mayWait(): boolean {
    return false;
  }

  override confirm(): void {
    if (this.state !== 'open') return;
    this.state = 'confirmed';
    this.report(undefined);
    for (const part of this.#parts) part.confirm();
  }

  /** A batch that is rejected is halved until the event is alone that it is rejected for. */
  override fail(reason: unknown): void {
    if (this.state !== 'open') return;
    const error = asOuzelError(reason, 'EVENT_FAILED');
    this.#ends(error);
    const open = this.#parts.filter(({ state, run }) => state === 'open' && !run.decided);
    if (open.length > 1 && this.#bisect && isOfOneEvent(error)) {
      const half = Math.ceil(open.length / 2);
      for (const parts of [open.slice(0, half), open.slice(half)]) new BatchDelivery(parts, true).begin();
    } else for (const part of open) part.fail(error);
  }

  override leave(error: OuzelError | undefined): void {
    if (this.state !== 'open' || this.#parts.some(({ state, isLeft }) => state === 'open' && !isLeft)) return;
    // All have run out of time, or are with somebody else.
    if (error === undefined) this.abort();
    else this.#ends(error);
  }

  #ends(error: OuzelError): void {
    this.state = 'failed';
    this.error = error;
    this.stop(error);
    this.report(error);
  }
}

/** Whether a batch may have failed for the sake of one of its events. */
const isOfOneEvent = ({ kind, code }: OuzelError): boolean => kind !== 'unavailable' && code !== 'TARGET_GONE';

/**
 * Begins the deliveries of a batch's events.
 *
 * @param taken The routes that all of them take.
 * @param refusal Why a route cannot be delivered to now, or undefined.
 */
export function deliverBatch(
  members: readonly Run[],
  taken: readonly Route[],
  refusal: (route: Route) => OuzelError | undefined,
): void {
  const now = performance.now();
  // All are opened before the first starts: one that answers at once must not end a run for the others.
  for (const member of members) {
    member.startedAt = now;
    member.openDeliveries = taken.length;
    member.deliveries = taken.map((route) => new Delivery(member, route, route.batch?.whole === true));
  }
  for (const [index, route] of taken.entries()) {
    const parts = members.map(({ deliveries }) => deliveries?.[index] as Delivery);
    const refused = refusal(route);
    if (refused !== undefined) for (const part of parts) part.fail(refused);
    else if (route.batch?.whole === true) new BatchDelivery(parts, route.batch.bisect).begin();
    else for (const part of parts) part.begin();
  }
}
