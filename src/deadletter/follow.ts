/** Waits for what becomes of letters that were handed over. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Groups } from './groups.ts';
import { letterAt, letters, type LetterAccess } from './read.ts';

/** Milliseconds between looks. */
const EVERY = 250;
/** Questions to the server at once. */
const AT_ONCE = 32;

export interface Followed {
  /** They ended, and not as a dead letter again. */
  readonly ended: number;
  /** They are new dead letters, by consumer and reason. */
  readonly cameBack: number;
  readonly groups: Groups;
  /** They have no outcome yet: the waiting was ended before. */
  readonly open: number;
}

/**
 * Waits until every letter is gone, and finds those that came back as new ones.
 *
 * @param runs The letters that were handed over, with their runs.
 * @param from The first number that a new letter may have.
 */
export async function followLetters(
  access: LetterAccess,
  runs: ReadonlyMap<number, string>,
  from: number,
  signal: AbortSignal,
  progress?: (done: number, all: number) => void,
): Promise<Followed> {
  const open = new Set(runs.keys());
  while (open.size > 0 && !signal.aborted) {
    await forgetSettled(access, open);
    progress?.(runs.size - open.size, runs.size);
    if (open.size > 0) await sleep(EVERY, undefined, { signal }).catch(() => undefined);
  }
  const settled = new Set([...runs].flatMap(([sequence, run]) => (open.has(sequence) ? [] : [run])));
  const groups = new Groups();
  // A run ends once; that its letter was written twice after a crash does not make it two.
  const back = new Set<string>();
  for await (const letter of letters(access, undefined, from)) {
    if (!settled.has(letter.run) || back.has(letter.run)) continue;
    back.add(letter.run);
    groups.add(letter);
  }
  return { ended: settled.size - back.size, cameBack: back.size, groups, open: open.size };
}

async function forgetSettled({ manager }: LetterAccess, open: Set<number>): Promise<void> {
  const rest = [...open].values();
  const worker = async (): Promise<void> => {
    for (const sequence of rest) if ((await letterAt(manager, sequence)) === undefined) open.delete(sequence);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
