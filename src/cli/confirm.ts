/** Asks before something is taken away. */
import { createInterface } from 'node:readline/promises';
import { OuzelError } from '../errors.ts';

/** Whether there is somebody to ask. */
const isAttended = (): boolean => process.stdin.isTTY && process.stdout.isTTY;

/** Refuses what would have to ask where nobody can be asked. @throws OuzelError USAGE */
export function needsSomebody(what: string): void {
  if (!isAttended())
    throw new OuzelError('USAGE', `${what}, and nobody can be asked here: look with --dry-run, then say --yes`);
}

/** Whether whoever sits there says yes. */
export async function agreed(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(?:es)?$/i.test((await terminal.question(`${question} (yes/no) `)).trim());
  } catch {
    // Ctrl-C, Ctrl-D: what follows begins on a line of its own.
    process.stdout.write('\n');
    return false;
  } finally {
    terminal.close();
  }
}
