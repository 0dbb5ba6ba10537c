/** From what somebody asks for to the letters that something is done to. */
import { OuzelError } from '../errors.ts';
import { Groups } from './groups.ts';
import { letterAt, type LetterAccess } from './read.ts';
import { isPermitted, letterQuery, type LetterSelectors, selectLetters, selectsAnything } from './select.ts';

export interface Choice {
  readonly selectors: LetterSelectors;
  /** Letters by their numbers, instead of selectors. */
  readonly sequences: readonly number[];
  /** Every letter that there is. */
  readonly all: boolean;
  /** How many at most, the oldest first. */
  readonly limit: number | undefined;
}

/** What is kept of a chosen letter: the letters themselves may be many and large. */
export interface Chosen {
  readonly sequence: number;
  readonly consumer: string;
  readonly reason: string;
}

export interface ChosenLetters {
  readonly letters: readonly Chosen[];
  readonly groups: Groups;
  /** Whether the limit left some out. */
  readonly more: boolean;
}

/** @throws OuzelError USAGE when nothing says which letters, or two things do */
function checkChoice({ selectors, sequences, all }: Choice): void {
  const ways = [selectsAnything(selectors), sequences.length > 0, all].filter(Boolean).length;
  if (ways === 0)
    throw new OuzelError(
      'USAGE',
      'which dead letters? Give their numbers, a selector (--consumer, --reason, --where …), or --all',
    );
  if (ways > 1)
    throw new OuzelError('USAGE', 'give numbers of dead letters, selectors, or --all: one of these and not two');
}

/**
 * Finds the letters that are meant, before anything is done to one of them.
 *
 * @throws OuzelError USAGE, and NOT_FOUND for a number that no letter has
 */
export async function chooseLetters(
  access: LetterAccess,
  choice: Choice,
  signal: AbortSignal | undefined,
): Promise<ChosenLetters> {
  checkChoice(choice);
  const letters: Chosen[] = [];
  const groups = new Groups();
  const { limit = Infinity } = choice;
  const found = choice.sequences.length > 0 ? numbered(access, choice.sequences) : selected(access, choice.selectors);
  for await (const letter of found) {
    if (letters.length >= limit) return { letters, groups, more: true };
    if (signal?.aborted === true) break;
    groups.add(letter);
    const { sequence, consumer, reason } = letter;
    letters.push({ sequence, consumer, reason });
  }
  return { letters, groups, more: false };
}

const selected = (access: LetterAccess, selectors: LetterSelectors) =>
  selectLetters(access, letterQuery(selectors, access));

async function* numbered(access: LetterAccess, sequences: readonly number[]) {
  for (const sequence of new Set(sequences)) {
    const letter = await letterAt(access.manager, sequence);
    if (letter === undefined || !(await isPermitted(access, letter)))
      throw new OuzelError('NOT_FOUND', `there is no dead letter ${sequence}`);
    yield letter;
  }
}
