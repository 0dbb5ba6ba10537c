/** Reads a source to its end, and says of each event who gets it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { asOuzelError, OuzelError } from '../errors.ts';
import type { ReplayPlan } from './asked.ts';
import type { Selected } from './select.ts';
import type { Extent, StoredEvent } from './source.ts';

/** Milliseconds for which a server that does not answer is asked again, and between two tries. */
const PATIENCE = 60_000;
const AGAIN = 1_000;

/** Does it again and again while the server is away. @throws OuzelError the last one; AbortError */
export async function patiently<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const until = performance.now() + PATIENCE;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const own = asOuzelError(error, 'NATS_UNAVAILABLE');
      if (own.kind !== 'unavailable' || signal.aborted || performance.now() > until) throw own;
    }
    await sleep(AGAIN, undefined, { signal });
  }
}

/** @param after The last event that was dealt with. @throws OuzelError */
export async function* walk(
  { source, range, select }: Pick<ReplayPlan, 'source' | 'range' | 'select'>,
  extent: Extent,
  after: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<{ readonly event: StoredEvent; readonly selected: Selected }> {
  let cursor = after;
  for (;;) {
    const from = cursor;
    const events = await patiently(signal, () => source.read(range, extent, from));
    if (events.length === 0) return;
    for (const event of events) {
      yield { event, selected: select(event) };
      cursor = event.cursor;
    }
  }
}

/** @throws OuzelError CONFLICT: the source was made anew, and its places mean something else */
export function checkIdentity(name: string, was: Extent, is: Extent): void {
  if (was.identity === is.identity) return;
  throw new OuzelError(
    'CONFLICT',
    `the source of replay ${name} was deleted and made anew since it began: begin another one, under another name`,
  );
}
