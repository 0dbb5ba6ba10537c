/** The one set of selectors: which dead letters somebody means. */
import type { Config } from '../config/schema.ts';
import { typeMatcher } from '../contracts/match.ts';
import { OuzelError } from '../errors.ts';
import { askedCondition, askedInstant } from '../reconcile/condition.ts';
import { eventOfLetter, scopeOf } from './event.ts';
import { completeLetter, type DeadLetter, letters, type LetterAccess } from './read.ts';

/** What letters are selected by, as text; each that is given must hold. `--limit` is no selector: it chooses nobody. */
export const LETTER_SELECTORS = ['consumer', 'key', 'type', 'reason', 'where', 'since', 'until'] as const;
export type LetterSelectors = Partial<Record<(typeof LETTER_SELECTORS)[number], string>>;

/** Whether anything is selected at all. */
export const selectsAnything = (selectors: LetterSelectors): boolean =>
  LETTER_SELECTORS.some((name) => selectors[name] !== undefined);

/** What may be the name of a consumer, and no wildcard of a subject. */
const NAME = /^[\w-]+$/;

export interface LetterQuery {
  readonly consumer: string | undefined;
  /** Whether a letter is meant. Reads what is stored beside it, if that is asked about. */
  matches(letter: DeadLetter): Promise<boolean>;
}

/**
 * Compiles what is asked for. `since` and `until` are about when the event became a dead letter.
 *
 * @param now Milliseconds since the epoch.
 * @throws OuzelError USAGE
 */
export function letterQuery(
  selectors: LetterSelectors,
  { config, bodies }: Pick<LetterAccess, 'config' | 'bodies'>,
  now = Date.now(),
): LetterQuery {
  const { consumer, key, reason } = selectors;
  if (consumer !== undefined && !NAME.test(consumer))
    throw new OuzelError('USAGE', `--consumer: "${consumer}" is no name of a consumer: letters, digits, - and _`);
  const since = selectors.since === undefined ? -Infinity : askedInstant('since', selectors.since, now);
  const until = selectors.until === undefined ? Infinity : askedInstant('until', selectors.until, now);
  if (since > until) throw new OuzelError('USAGE', '--since lies after --until, so nothing is between them');
  const inside = insideMatcher(selectors, config);
  return {
    consumer,
    async matches(letter) {
      if (consumer !== undefined && letter.consumer !== consumer) return false;
      if (key !== undefined && letter.key !== key) return false;
      if (reason !== undefined && letter.reason !== reason) return false;
      const failed = Date.parse(letter.failed);
      if (failed < since || failed > until) return false;
      return inside === undefined || inside(await completeLetter(letter, bodies));
    },
  };
}

/** What has to look into the event, or undefined. */
function insideMatcher(
  { type, where }: LetterSelectors,
  config: Config,
): ((letter: DeadLetter) => boolean) | undefined {
  if (type === undefined && where === undefined) return undefined;
  const typed = type === undefined ? undefined : typeMatcher(type.split(','));
  const condition = where === undefined ? undefined : askedCondition(where, config);
  return (letter) => {
    try {
      const event = eventOfLetter(letter, config);
      return (typed === undefined || typed(event.type)) && (condition === undefined || condition(scopeOf(event)));
    } catch {
      // An event that cannot be decoded has neither type nor data.
      return false;
    }
  };
}

/** The letters that are meant, the oldest first. */
export async function* selectLetters(access: LetterAccess, query: LetterQuery): AsyncGenerator<DeadLetter> {
  for await (const letter of letters(access, query.consumer))
    if ((await query.matches(letter)) && (await isPermitted(access, letter))) yield letter;
}

/** Whether a letter may be looked at and touched (`LetterAccess.permits`). */
export async function isPermitted(
  { permits, config, bodies }: Pick<LetterAccess, 'permits' | 'config' | 'bodies'>,
  letter: DeadLetter,
): Promise<boolean> {
  if (permits === undefined) return true;
  const whole = await completeLetter(letter, bodies);
  let type: string | undefined;
  try {
    ({ type } = eventOfLetter(whole, config));
  } catch {
    type = undefined;
  }
  return permits(letter.consumer, type);
}
