/** What a consumer's configuration compiles to: steps in the one order of stages, and what settling needs to know. */
import type { Scope } from '../expression/types.ts';
import type { Cell } from '../telemetry/cells.ts';
import type { Tracer } from './ports.ts';
import type { Run, Verdict } from './run.ts';

export type OutcomeKind = 'delivered' | 'filtered' | 'dropped' | 'dead_lettered';

/** How an event ended. Made once for each kind and reason, with its counter at hand. */
export interface Outcome {
  readonly kind: OutcomeKind;
  readonly reason: string;
  readonly counter: Cell;
}

/** Stages with an effect that an event has once in a run, however often it comes by, in their order. */
export const ONCE_STAGES = ['dedupe', 'rate_limit', 'count', 'debounce', 'delay'] as const;

export type OnceStage = (typeof ONCE_STAGES)[number];

/** One stage of a plan. It returns a verdict and never touches the message; what it throws fails the event. */
export interface Step {
  /** As `explain` and errors show it. */
  readonly name: string;
  run(run: Run): Verdict;
  /** Set for a stage with an effect that an event has once: it is skipped when the event has passed it before. */
  readonly once?: OnceStage;
  /** Lets go of what it holds. Called once, when no run is on its plan any more. */
  close?(): void;
}

/** How often and how long a failing event is tried again. Durations in milliseconds. */
export interface RetryPolicy {
  /** Attempts in all, the first included. */
  readonly attempts: number;
  readonly first: number;
  readonly factor: number;
  readonly max: number;
  /** Share of a delay, 0 to 1, by which it varies at random. */
  readonly jitter: number;
  /** The bound for a target that is unavailable, from the first failure. */
  readonly for: number;
  /** Ends the attempts at once where it holds. */
  readonly giveUp: ((scope: Scope) => boolean) | undefined;
}

export interface Plan {
  /** Hash of the configuration that it was compiled from. */
  readonly revision: string;
  readonly steps: readonly Step[];
  readonly delivered: Outcome;
  readonly retry: RetryPolicy;
  /** Every route that there is. */
  readonly routes: readonly string[];
  /** Their targets, as the breakers know them. */
  readonly targets: readonly string[];
  /** Whether no event could be delivered now: every target is known to be unavailable. */
  readonly unavailable: () => boolean;
  /** Whether a target is to be probed, and no event is there that could do so. */
  readonly lacksProbe: () => boolean;
  /** Milliseconds after its first failure in which an event may be tried again, over all routes. */
  readonly longestRetry: number;
  /** Milliseconds that an attempt may take. */
  readonly timeout: number;
  /** Whether the events of a key are handled in order (`flow/order.ts`), on one instance alone. */
  readonly ordered?: boolean;
  /** Whether it runs on one instance alone: events take a place before they begin, which they keep until they end. */
  readonly exclusive?: boolean;
  /** Whether a dead letter holds those behind it. */
  readonly holds?: boolean;
  /** Hears of every run that ended, whichever way. */
  readonly onSettled: ((run: Run) => void) | undefined;
  /** Resolves when all is there that its first run needs. @throws OuzelError when it cannot be used */
  readonly ready?: (() => Promise<void>) | undefined;
  /** Sends what is still owed for events that have their outcome. Called when the consumer stops, before `close`. */
  readonly flush?: (() => Promise<void>) | undefined;
  /** Lets go of what the plan holds (files, connections). Called once, when no run is on it any more. */
  readonly close: () => void;
  /** Makes the spans of the plan's runs; undefined while traces are off. */
  readonly tracer?: Tracer | undefined;
}
