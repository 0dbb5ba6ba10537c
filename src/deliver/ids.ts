/** Ids of what Ouzel sends: the same event on the same route of the same run always bears the same id. */
import { createHash } from 'node:crypto';
import type { Position } from '../core/event.ts';

/**
 * Makes the ids of a route. The hash covers stream, consumer, route and run; sequence and stream timestamp follow it
 * as they are, since two events of a stream never share both, even when the stream was deleted and made again.
 *
 * @param run The id of a replay or re-drive; empty for the first passage.
 */
export function messageIds(stream: string, consumer: string, route: string, run = ''): (position: Position) => string {
  const hash = createHash('sha256')
    .update(JSON.stringify([stream, consumer, route, run]))
    .digest('base64url');
  const prefix = hash.slice(0, 22);
  return ({ sequence, milliseconds, nanoseconds }) =>
    `${prefix}.${sequence.toString(36)}.${milliseconds.toString(36)}.${nanoseconds.toString(36)}`;
}
