/** What the fleet's configuration is to those who show and change it: the API, and the daemon that applies it. */
import type { ConsumerDiff } from '../reconcile/diff.ts';

/** The sections whose entries can live in KV, in the order in which one may need another. */
export const RESOURCE_SECTIONS = ['filters', 'types', 'transformers', 'targets', 'consumers', 'sources'] as const;
export type ResourceSection = (typeof RESOURCE_SECTIONS)[number];

export interface ResourceKey {
  readonly section: ResourceSection;
  readonly name: string;
}

/** Who changes something, and from where: for the history and the audit. */
export interface Actor {
  /** Of its credentials; `local` for who sits at the machine. */
  readonly name: string;
  /** The address that the request came from. */
  readonly from: string;
}

/** One revision of a resource, as it is stored. */
export interface FleetResource extends ResourceKey {
  /** YAML of the entry itself, as it was given; undefined where this revision removed it. */
  readonly text: string | undefined;
  /** Counts over all resources of the fleet; what `If-Match` is compared with. */
  readonly revision: number;
  readonly by: Actor;
  /** RFC 3339. */
  readonly at: string;
}

export interface ResourceChange extends ResourceKey {
  /** YAML or JSON of the entry; undefined removes it. */
  readonly text: string | undefined;
  /** The revision that it must have now; 0: it must not be there. Left out, whichever it has. */
  readonly expected?: number | undefined;
}

export interface ChangeOutcome {
  /** The resources as they are now, those of changes that changed nothing included. */
  readonly resources: readonly FleetResource[];
  /** What became of the consumers of this instance; undefined where nothing was applied (`dryRun`, or nothing new). */
  readonly consumers: ConsumerDiff | undefined;
}

/** A consumer that somebody paused at run time, on every instance, until somebody resumes it. */
export interface Pause {
  readonly by: Actor;
  /** RFC 3339. */
  readonly at: string;
}

export interface FleetAccess {
  /** The resources that are there now, by section and name. */
  list(section?: ResourceSection): readonly FleetResource[];
  get(key: ResourceKey): FleetResource | undefined;
  /** All revisions that are kept, newest first. @throws OuzelError NATS_UNAVAILABLE */
  history(key: ResourceKey): Promise<readonly FleetResource[]>;
  /**
   * Checks changes as if they stood in the configuration's file, puts them in force here, and stores them for every
   * instance: all of them or none.
   *
   * @throws ConfigError with the places: `fleet:consumers/billing:3:5`
   * @throws OuzelError CONFIG_OWNED_BY_FILE, CONFLICT (not the expected revision), NOT_FOUND (nothing there to remove),
   *   NATS_UNAVAILABLE, or what keeps a consumer from running (DURABLE_REFUSED, …). Nothing is changed or stored then.
   */
  change(
    changes: readonly ResourceChange[],
    actor: Actor,
    options?: { readonly dryRun?: boolean },
  ): Promise<ChangeOutcome>;
  /** Pauses or resumes a consumer, the file's or the fleet's. @throws OuzelError NOT_FOUND, NATS_UNAVAILABLE */
  pause(consumer: string, paused: boolean, actor: Actor): Promise<void>;
  pauseOf(consumer: string): Pause | undefined;
}
