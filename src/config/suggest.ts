/** "Did you mean": the one place that guesses what was meant. */
import { didYouMean } from '../expression/error.ts';

/** The nearest of the candidates, if one is near enough to be a misspelling. */
export const nearest = (word: string, candidates: Iterable<string>): string | undefined => didYouMean(word, candidates);

/** At most this many names are listed where nothing is near. */
const LISTED = 12;

/** `did you mean "x"?`, else what there is to choose from. */
export function suggestion(word: string, candidates: readonly string[], nothing?: string): string | undefined {
  const near = nearest(word, candidates);
  if (near !== undefined) return `did you mean "${near}"?`;
  if (candidates.length === 0) return nothing;
  const listed = candidates.slice(0, LISTED).join(', ');
  return `one of: ${listed}${candidates.length > LISTED ? `, … (${candidates.length} in all)` : ''}`;
}

/** Whether a word is another with one slip of the finger: a letter too many, too few, wrong, or two exchanged. */
export function isSlip(word: string, meant: string): boolean {
  const a = word.toLowerCase();
  const b = meant.toLowerCase();
  if (a === b) return word !== meant;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const here = a.slice(start, a.length - end);
  const there = b.slice(start, b.length - end);
  // Names that differ in a number are two of a series.
  if (/\d/.test(here + there)) return false;
  if (here.length <= 1 && there.length <= 1) return true;
  return here.length === 2 && here === `${there[1] ?? ''}${there[0] ?? ''}`;
}
