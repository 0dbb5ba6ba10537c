/** Which dead letters are being re-driven: handed to their consumer, and not settled yet. */
import type { MsgRequest } from '@nats-io/jetstream';
import { readHandover } from '../core/handover.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import { findStream } from '../nats/provision.ts';
import { dueSubject, TIMER_STREAM } from '../nats/timers.ts';
import type { LetterAccess } from './read.ts';

/**
 * The numbers of the letters of these consumers that are on their way: due now, or parked for a later attempt. The
 * messages are looked at one by one, since nothing else may read from a stream that is a work queue.
 */
export async function lettersUnderway(
  { manager }: Pick<LetterAccess, 'manager'>,
  consumers: Iterable<string>,
  signal?: AbortSignal,
): Promise<Set<number>> {
  const underway = new Set<number>();
  const stream = await findStream(manager, TIMER_STREAM);
  if (stream === undefined || stream.state.messages === 0) return underway;
  for (const consumer of consumers)
    for (const subject of [dueSubject(consumer), `ouzel.timer.${consumer}.>`]) {
      let next = 1;
      while (signal?.aborted !== true) {
        // The server's API has `next_by_subj` since 2.9; the type of the client does not.
        const query = { seq: next, next_by_subj: subject } as MsgRequest;
        const stored = await manager.streams.getMessage(TIMER_STREAM, query);
        if (stored === null) break;
        next = stored.seq + 1;
        const lines = [...stored.header].flatMap(([name, values]) => values.map((value) => headerLine(name, value)));
        const letter = readHandover(new TextEncoder().encode(headerBlock(lines.join(''))))?.letter;
        if (letter !== undefined) underway.add(letter);
      }
    }
  return underway;
}
