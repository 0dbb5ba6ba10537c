/** From what somebody asks for to the events that a tap shows. */
import type { Config } from '../config/schema.ts';
import { typeMatcher } from '../contracts/match.ts';
import type { Run } from '../core/run.ts';
import { OuzelError } from '../errors.ts';
import { askedCondition } from '../reconcile/condition.ts';
import type { TapQuery } from './tap.ts';

/** The names of the selectors; each is text. */
export const TAP_SELECTORS = ['consumer', 'type', 'key', 'outcome', 'reason', 'where'] as const;
export type TapSelectors = Partial<Record<(typeof TAP_SELECTORS)[number], string>>;

/** Whether somebody may see an event; one that cannot be decoded has no type. */
export type Sees = (consumer: string, type: string | undefined) => boolean;

const OUTCOMES: readonly string[] = ['delivered', 'filtered', 'dropped', 'dead_lettered', 'retried'];

/**
 * Compiles what is asked for.
 *
 * @param keyOf The key of a run's event.
 * @param sees For who may not see everything.
 * @throws OuzelError NOT_FOUND, USAGE
 */
export function tapQuery(
  { consumer, type, key, outcome, reason, where }: TapSelectors,
  config: Config,
  keyOf: (run: Run) => string | undefined,
  sees?: Sees,
): TapQuery {
  if (consumer !== undefined && !Object.hasOwn(config.consumers, consumer))
    throw new OuzelError(
      'NOT_FOUND',
      `no consumer "${consumer}"; there are: ${Object.keys(config.consumers).join(', ') || 'none'}`,
    );
  if (outcome !== undefined && !OUTCOMES.includes(outcome))
    throw new OuzelError('USAGE', `no outcome "${outcome}"; there are: ${OUTCOMES.join(', ')}`);
  const typed = type === undefined ? undefined : typeMatcher(type.split(','));
  const condition = where === undefined ? undefined : askedCondition(where, config);
  if (typed === undefined && key === undefined && condition === undefined && sees === undefined)
    return { consumer, outcome, reason, matches: undefined };
  const matches = (run: Run): boolean => {
    if (sees?.(run.consumer.name, typeOf(run)) === false) return false;
    try {
      if (typed !== undefined && !typed(run.event.type)) return false;
      if (key !== undefined && keyOf(run) !== key) return false;
      // As everywhere, a field that is not there makes a condition false.
      return condition === undefined || condition(run);
    } catch {
      // An event that cannot be decoded has neither type nor data.
      return false;
    }
  };
  return { consumer, outcome, reason, matches };
}

function typeOf({ event }: Run): string | undefined {
  try {
    return event.type;
  } catch {
    return undefined;
  }
}
