import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { inject, onTestFinished } from 'vitest';

/** What `global-setup.ts` provides to tests, where a program of its own uses these helpers (`test/chaos/run.ts`). */
let own: { readonly natsServer: string; readonly temporaryRoot: string } | undefined;

/** To be called before any other helper, outside of vitest only. */
export function provideOutsideOfTests(values: NonNullable<typeof own>): void {
  own = values;
}

/** Path of the nats-server that this run uses. */
export const natsServer = (): string => own?.natsServer ?? inject('natsServer');

/** Holds every temporary directory of this run. */
export const temporaryRoot = (): string => own?.temporaryRoot ?? inject('temporaryRoot');

/**
 * Makes a release safe to ask for twice, and has it happen when the running test ends, passed or failed. Outside of a
 * test (`beforeAll`) it is the caller's to call; the run's end takes what was forgotten.
 */
export function releasing(release: () => Promise<void>): () => Promise<void> {
  let released: Promise<void> | undefined;
  const once = (): Promise<void> => (released ??= release());
  try {
    onTestFinished(once);
  } catch {
    // Not inside a test.
  }
  return once;
}

/** A new empty directory, removed when the run ends. */
export async function temporaryDirectory(name = 'dir'): Promise<string> {
  return mkdtemp(join(temporaryRoot(), `${name}-`));
}
