/** Versions of events: which one an event is of, and the steps that make an old one the newest. */
import type { Event } from '../core/event.ts';
import type { Step } from '../core/plan.ts';
import { OuzelError } from '../errors.ts';
import { type Evaluate, type Expression, Fault, type Scope } from '../expression/index.ts';
import { faultError } from '../pipeline/faults.ts';
import type { Cell } from '../telemetry/cells.ts';

/** What is known of the versions of one type. */
export interface VersionRules {
  readonly type: string;
  /** The newest version. */
  readonly version: number;
  readonly oldest: number;
  /** Whether a newer version is taken as it is. */
  readonly acceptsNewer: boolean;
  readonly versionFrom: { readonly evaluate: Evaluate; readonly source: Expression } | undefined;
  /** Version → the steps that make it the next one. */
  readonly upcasts: ReadonlyMap<number, readonly Step[]>;
  /** Where events are counted that came in another version than the newest. */
  count(version: string): Cell;
}

/** The extension that says the version of an event's data, and that an upcast writes. */
const EXTENSION = 'dataversion';

/**
 * The number that ends a `dataschema`: `…/orders.created.1.json`, `…/orders/v1`, `orders-created-1#`. A number behind
 * another number is none: it is part of a date, or of `1.2.3`.
 */
const SCHEMA_VERSION = /(?:^|[/:]|(?<!\d)[._-])v?([1-9]\d{0,8})(?=(?:\.(?:json|ya?ml|schema|avsc))*#?$)/i;

/** A version as a producer may write it: 2, "2", "v2"; undefined for anything else. */
function wholeNumber(value: unknown): number | undefined {
  if (typeof value === 'string') return /^v?[1-9]\d{0,8}$/i.test(value) ? Number(value.replace(/^v/i, '')) : undefined;
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1 ? value : undefined;
}

/**
 * The version of an event: its extension `dataversion`, else what `version_from` says, else the number that ends its
 * `dataschema`, else 1.
 *
 * @throws OuzelError EVENT_VERSION where `version_from` is no whole number; EVENT_EXPRESSION, EVENT_UNDECODABLE
 */
export function versionOf({ type, versionFrom }: VersionRules, scope: Scope): number {
  const { extensions, dataschema } = scope.event;
  // What Ouzel wrote itself comes first: an event that went through it is not made newer a second time.
  const marked = wholeNumber(extensions[EXTENSION]);
  if (marked !== undefined) return marked;
  if (versionFrom !== undefined) {
    const value = versionFrom.evaluate(scope);
    if (value instanceof Fault) {
      if (value.kind !== 'missing_field') throw faultError(value, versionFrom.source);
    } else {
      const version = wholeNumber(value);
      if (version !== undefined) return version;
      const message = `the version of this ${type} is no whole number, by \`${versionFrom.source.source}\``;
      throw new OuzelError('EVENT_VERSION', message, { place: versionFrom.source.place });
    }
  }
  return wholeNumber(SCHEMA_VERSION.exec(dataschema ?? '')?.[1]) ?? 1;
}

/** Says on the event itself which version it is of now. */
function mark(event: Event, version: number, before: string | undefined): void {
  event.setExtension(EXTENSION, version);
  // An upcast that writes the schema's name knows better.
  if (before === undefined || event.dataschema !== before) return;
  const found = SCHEMA_VERSION.exec(before);
  const digits = found?.[1];
  if (found === null || digits === undefined) return;
  const at = found.index + found[0].length - digits.length;
  event.setAttribute('dataschema', before.slice(0, at) + String(version) + before.slice(at + digits.length));
}

/**
 * Makes every event of a known type the newest version of it.
 *
 * @throws (in a run) OuzelError EVENT_VERSION for a version that is not known
 */
export function upcastStep(rules: ReadonlyMap<string, VersionRules>): Step {
  return {
    name: 'upcast',
    run(run) {
      const { event } = run;
      const known = rules.get(event.type);
      if (known === undefined) return undefined;
      const { type, version, oldest, acceptsNewer } = known;
      const came = versionOf(known, run);
      if (came === version) return undefined;
      known.count(came > version ? 'newer' : came < oldest ? 'older' : String(came)).increment();
      if (came > version) {
        if (acceptsNewer) return undefined;
        throw new OuzelError('EVENT_VERSION', `this ${type} is of version ${came}, and ${version} is the newest known`);
      }
      if (came < oldest)
        throw new OuzelError('EVENT_VERSION', `this ${type} is of version ${came}, and ${oldest} is the oldest known`);
      const { dataschema } = event;
      for (let from = came; from < version; from++) for (const step of known.upcasts.get(from) ?? []) step.run(run);
      mark(event, version, dataschema);
      return undefined;
    },
  };
}
