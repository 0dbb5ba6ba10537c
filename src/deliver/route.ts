/** The `deliver` stage: which entries an event takes, and the deliveries that follow. */
import type { Outcome, RetryPolicy, Step } from '../core/plan.ts';
import { PENDING, type Run, type Verdict } from '../core/run.ts';
import type { Scope } from '../expression/types.ts';
import { OuzelError } from '../errors.ts';
import type { Cell, HistogramCell } from '../telemetry/cells.ts';
import type { Terms, Throttle } from '../flow/throttle.ts';
import type { Breaker } from './breaker.ts';
import { Delivery } from './delivery.ts';

/** What the spans of a route's deliveries have in common. Event data has no place in it. */
export interface SpanDescription {
  readonly kind: 'producer' | 'client' | 'internal';
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What a delivery would send. */
export interface Preview {
  /** What would be done, in a few words: `publish to alerts.orders.c-7`. */
  readonly action: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: Uint8Array | string;
}

/**
 * A target made ready for one route. It calls `confirm` or `fail` of the delivery exactly once; what it throws fails
 * the delivery.
 */
export interface PreparedTarget {
  /** How a delivery is shown in a trace. Default: a call of a client, by the name of the target. */
  readonly span?: SpanDescription;
  deliver(delivery: Delivery): void;
  /**
   * What `deliver` would send for this event, made by the same code, and nothing of it sent: for `explain`. Throws
   * what `deliver` would.
   */
  preview?(delivery: Delivery): Preview;
  /** Sends what it still owes for deliveries that are confirmed. Called when its consumer stops, before `close`. */
  flush?(): Promise<void>;
  /** Lets go of what it holds. Called once, when the last delivery has ended. */
  close?(): void;
}

/** An entry of `deliver`, compiled. */
export interface Route {
  readonly name: string;
  readonly target: PreparedTarget;
  readonly targetName: string;
  /** Undefined: always. A missing field is false. @throws OuzelError EVENT_EXPRESSION */
  readonly when: ((scope: Scope) => boolean) | undefined;
  /** No further entry is looked at when this one is taken. */
  readonly stop: boolean;
  /** Taken only if no other entry is. */
  readonly otherwise: boolean;
  readonly retry: RetryPolicy;
  readonly breaker: Breaker;
  /** Milliseconds that one delivery may take; undefined: as long as the attempt. */
  readonly timeout: number | undefined;
  /** Holds back what goes to its target; undefined: nothing does. */
  readonly throttle?: { readonly limit: Throttle; readonly terms: (run: Run) => Terms } | undefined;
  readonly cells: {
    readonly confirmed: Cell;
    readonly rejected: Cell;
    readonly unavailable: Cell;
    readonly duration: HistogramCell;
  };
}

/** The routes that an event takes, in the order of the configuration. */
export function choose(routes: readonly Route[], scope: Scope): readonly Route[] {
  const taken: Route[] = [];
  for (const route of routes) {
    if (route.otherwise || (route.when !== undefined && !route.when(scope))) continue;
    taken.push(route);
    if (route.stop) break;
  }
  return taken.length > 0 ? taken : routes.filter(({ otherwise }) => otherwise);
}

/** Share of a consumer's events in hand that may wait for one target while it could deliver others elsewhere. */
const WAITING_SHARE = 0.25;

/**
 * What is still to be delivered of the routes that an event takes: not those that confirmed before, and of a re-drive
 * only those that failed then.
 *
 * @throws OuzelError EVENT_ROUTE_GONE
 */
function outstanding(taken: readonly Route[], routes: readonly Route[], run: Run): readonly Route[] {
  const only = run.handed?.routes;
  const gone = only?.find((name) => !routes.some((route) => route.name === name));
  if (gone !== undefined)
    throw new OuzelError(
      'EVENT_ROUTE_GONE',
      `the event is to be delivered by route "${gone}", which consumer ${run.consumer.name} does not have any more`,
    );
  const confirmed = run.record?.confirmed ?? [];
  if (only === undefined && confirmed.length === 0) return taken;
  return taken.filter(({ name }) => (only === undefined || only.includes(name)) && !confirmed.includes(name));
}

/** Whether the event waits in hand until its targets are there again, rather than being given back. */
function waits(blocked: readonly Route[], run: Run): boolean {
  const [first] = blocked;
  if (first === undefined) return false;
  const { consumer, plan } = run;
  return plan.unavailable() || first.breaker.waiting < consumer.limits.prefetch * WAITING_SHARE;
}

/** Whether all throttles let a run go on of the targets that are there; one that may not waits, or was put back. */
function isThrottled(taken: readonly Route[], run: Run): boolean {
  // What waits for a target that is away waits for that alone, and a probe asks nobody.
  for (const { throttle, breaker } of taken)
    if (throttle !== undefined && !breaker.isOpen && !throttle.limit.admits(run, throttle.terms(run))) return true;
  return false;
}

/** Whether an event has waited for a target for as long as it may. */
function isOverdue(run: Run, route: Route): boolean {
  const since = run.record?.firstFailedAt ?? 0;
  return since > 0 && Date.now() - since >= route.retry.for;
}

function start(delivery: Delivery, blocked: readonly Route[]): void {
  const { route } = delivery;
  try {
    if (blocked.includes(route))
      return delivery.fail(
        new OuzelError('TARGET_BREAKER_OPEN', `${route.targetName}: ${route.breaker.trouble?.error.message ?? ''}`),
      );
    route.target.deliver(delivery);
  } catch (error) {
    delivery.fail(error);
  }
}

/**
 * The step that delivers. An event that takes no route is filtered, reason `no_route`; one that could go nowhere now,
 * because the breakers of its targets are open, waits in hand.
 */
export function deliverStep(routes: readonly Route[], noRoute: Outcome): Step {
  const always = routes.every(({ when, otherwise, stop }) => when === undefined && !otherwise && !stop);
  const throttles = routes.some(({ throttle }) => throttle !== undefined);
  return {
    name: 'deliver',
    run(run: Run): Verdict {
      let taken = always ? routes : choose(routes, run);
      if (run.record !== undefined || run.handed !== undefined) {
        const left = outstanding(taken, routes, run);
        const wanted = run.handed?.routes ?? taken.map(({ name }) => name);
        // All that it is to go to has confirmed before: this is where it ends.
        if (wanted.length > 0 && wanted.every((name) => run.record?.confirmed.includes(name))) return undefined;
        taken = left;
      }
      if (taken.length === 0) return noRoute;
      if (throttles && isThrottled(taken, run)) return PENDING;
      const blocked = taken.filter(({ breaker }) => !breaker.admits());
      const [first] = blocked;
      if (first !== undefined && blocked.length === taken.length && waits(blocked, run)) {
        const { trouble } = first.breaker;
        if (trouble !== undefined && isOverdue(run, first)) run.fail(trouble.error, first);
        else {
          // It goes there much later, at the pace of then.
          run.cleared = undefined;
          first.breaker.wait(run, first);
        }
        return PENDING;
      }
      // All are opened before the first starts: one that answers at once must not end the run for the others.
      run.openDeliveries = taken.length;
      run.deliveries = taken.map((route) => new Delivery(run, route));
      for (const delivery of run.deliveries) start(delivery, blocked);
      return PENDING;
    },
  };
}
