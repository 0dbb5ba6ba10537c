/** The `deliver` stage: which entries an event takes, and the deliveries that follow. */
import type { Outcome, RetryPolicy, Step } from '../core/plan.ts';
import { PENDING, type Run, type Verdict } from '../core/run.ts';
import type { Scope } from '../expression/types.ts';
import type { Cell, HistogramCell } from '../telemetry/cells.ts';
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
  /** Milliseconds that one delivery may take; undefined: as long as the attempt. */
  readonly timeout: number | undefined;
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

/**
 * The step that delivers. An event that takes no route is filtered, reason `no_route`; routes that confirmed in an
 * earlier attempt are not delivered to again.
 */
export function deliverStep(routes: readonly Route[], noRoute: Outcome): Step {
  const always = routes.every(({ when, otherwise, stop }) => when === undefined && !otherwise && !stop);
  return {
    name: 'deliver',
    run(run: Run): Verdict {
      let taken = always ? routes : choose(routes, run);
      if (taken.length === 0) return noRoute;
      const confirmed = run.consumer.attempts.get(run.event)?.confirmed;
      if (confirmed !== undefined && confirmed.length > 0)
        taken = taken.filter(({ name }) => !confirmed.includes(name));
      if (taken.length === 0) return undefined;
      // All are opened before the first starts: one that answers at once must not end the run for the others.
      run.openDeliveries = taken.length;
      run.deliveries = taken.map((route) => new Delivery(run, route));
      for (const delivery of run.deliveries) {
        try {
          delivery.route.target.deliver(delivery);
        } catch (error) {
          delivery.fail(error);
        }
      }
      return PENDING;
    },
  };
}
