/** Ids of what Ouzel sends: the same event on the same route of the same run always bears the same id. */
import { createHash } from 'node:crypto';
import type { Position } from '../core/event.ts';

/** Makes the id of what a run sends. */
export type MessageIds = (run: Sent & { readonly together?: readonly Sent[] | undefined }) => string;

interface Sent {
  readonly id: string;
  readonly event: { readonly position: Position };
}

const prefixOf = (parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 22);

/**
 * Makes the ids of a route. The hash covers stream, consumer, route and run; sequence and stream timestamp follow it
 * as they are, since two events of a stream never share both, even when the stream was deleted and made again.
 */
export function messageIds(stream: string, consumer: string, route: string): MessageIds {
  const first = prefixOf([stream, consumer, route, '']);
  const idOf = ({ id, event: { position } }: Sent): string => {
    const { sequence, milliseconds, nanoseconds } = position;
    const prefix = id === '' ? first : prefixOf([stream, consumer, route, id]);
    return `${prefix}.${sequence.toString(36)}.${milliseconds.toString(36)}.${nanoseconds.toString(36)}`;
  };
  // A batch is known by all that is in it.
  return (run) =>
    run.together === undefined || run.together.length === 1 ? idOf(run) : prefixOf([first, ...run.together.map(idOf)]);
}
