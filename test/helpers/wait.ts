import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  /** How long to wait at most, in milliseconds. Default 30 s: on a busy machine all takes longer. */
  readonly timeout?: number;
  /** What is waited for, for the error. */
  readonly what: string | (() => string);
  /** Milliseconds between two looks. Default 20. */
  readonly every?: number;
}

type Falsy = false | 0 | '' | null | undefined;

/** Looks until the condition gives something truthy, and returns it. A condition that throws is looked at again. */
export async function waitFor<T>(
  condition: () => T | Falsy | Promise<T | Falsy>,
  options: WaitOptions,
): Promise<Exclude<T, Falsy>> {
  const timeout = options.timeout ?? 30_000;
  const until = Date.now() + timeout;
  let last: unknown;
  for (;;) {
    try {
      last = await condition();
      if (last) return last as Exclude<T, Falsy>;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= until) break;
    await sleep(options.every ?? 20);
  }
  const what = typeof options.what === 'string' ? options.what : options.what();
  const cause = last instanceof Error ? { cause: last } : undefined;
  throw new Error(`Waited ${timeout} ms for ${what}${last instanceof Error ? `; last: ${last.message}` : ''}`, cause);
}
