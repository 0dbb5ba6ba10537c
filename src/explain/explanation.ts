/** What `explain` has to say, as data: printed as it is with `--json`, and rendered for people by `render.ts`. */
import type { OutcomeKind } from '../core/plan.ts';
import type { ErrorCode } from '../errors.ts';
import type { Clause } from '../expression/explain.ts';
import type { StageInfo } from '../reconcile/compile.ts';
import type { VersionShown } from '../reconcile/types.ts';
import type { Change } from './changes.ts';

/** An error as it would stand in the log and in the dead letter. */
export interface Failed {
  readonly code: ErrorCode;
  readonly message: string;
  /** `file:line:column` of what failed. */
  readonly place?: string;
}

/** The event as it was decoded. */
export interface EventShown {
  readonly stream: string;
  readonly sequence: number;
  readonly subject: string;
  /** Bytes of the body. */
  readonly size: number;
  readonly attributes?: Readonly<Record<string, string | undefined>>;
  readonly extensions?: Readonly<Record<string, unknown>>;
  readonly key?: string | undefined;
  readonly data?: unknown;
  /** Why there is no data: a stage that needs it will fail. */
  readonly dataError?: Failed;
  /** Why it is no event at all. */
  readonly error?: Failed;
}

/** What a delivery would send. */
export interface Sent {
  /** What would be done; `no preview` where the target cannot show it. */
  readonly action: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: string;
  /** Bytes of the body. */
  readonly size?: number;
  readonly error?: Failed;
}

export interface RouteShown {
  readonly name: string;
  readonly target: string;
  taken: boolean;
  /** What decides over it: nothing, its `when`, that no other was taken, or an earlier one with `stop`. */
  why: 'always' | 'when' | 'else' | 'stopped';
  stoppedBy?: string;
  condition?: Clause;
  /** How its target is throttled. */
  throttle?: string;
  sent?: Sent;
}

/** A stage that the event came to; those behind the one that ended it are not there. */
export interface StageShown {
  readonly stage: StageInfo['kind'];
  /** Its name in the configuration, or its place (`pipeline[2]`). */
  readonly name: string;
  /** The event went on, ended here, or failed here. */
  result: 'passed' | 'ended' | 'failed';
  /** `filter`, `set`, … */
  component?: string;
  types?: readonly string[];
  /** Events at work at once. */
  max?: number;
  /** Of `upcast` and `schema`; null where the event's type is not in `types`. */
  version?: VersionShown | null | undefined;
  /** Of the stages of flow control: what there is to say of the event. */
  says?: string;
  condition?: Clause;
  changes?: readonly Change[];
  /** What a service would be asked. Nobody was: the stages behind see the event without the reply. */
  asked?: Sent;
  routes?: readonly RouteShown[];
  error?: Failed;
}

export interface OutcomeShown {
  /** `not_taken`: the durable would not hand it out. `retried`: it failed, and would be tried again. */
  readonly kind: OutcomeKind | 'not_taken' | 'retried';
  readonly reason: string;
  readonly explanation?: string;
  readonly error?: Failed;
  /** The route whose delivery failed. */
  readonly route?: string;
  /** For `retried`: attempts in all, and milliseconds before the second. */
  readonly attempts?: number;
  readonly delay?: number;
}

export interface Explanation {
  readonly consumer: string;
  readonly stream: string;
  /** Of the consumer's configuration. */
  readonly revision: string;
  readonly event: EventShown;
  /** The lane that the event goes by, where its consumer has lanes. */
  readonly lane?: { readonly name: string; readonly weight: number };
  readonly stages: readonly StageShown[];
  readonly outcome: OutcomeShown;
}

/** Whether the event would be lost to its consumer: what a script asks. */
export const wouldFail = ({ outcome: { kind } }: Explanation): boolean =>
  kind === 'dead_lettered' || kind === 'retried';
