/**
 * Where a message stands in its stream, read from the bytes of its ack subject:
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<timestamp>.<pending>`, or the same behind
 * `$JS.ACK.<domain>.<account>` and with a random token at the end (JetStream ADR-15).
 */
import type { Position } from '../core/event.ts';

const DOT = 46;
const ZERO = 48;

/** Digits of a nanosecond timestamp below the millisecond. */
const BELOW_MILLISECOND = 6;

/** Where the numbers begin: behind the consumer's name. The same for all messages that a durable sends one client. */
export function numbersAt(reply: Uint8Array): number {
  let dots = 0;
  for (const byte of reply) if (byte === DOT) dots++;
  // Nine tokens in the short form; in the long one two more stand in front.
  let skip = dots <= 8 ? 4 : 6;
  let index = 0;
  while (skip > 0 && index < reply.length) if (reply[index++] === DOT) skip--;
  return index;
}

/** @param start As `numbersAt` says. */
export function parsePosition(reply: Uint8Array, start: number): Position {
  let index = start;
  let deliveries = 0;
  for (; index < reply.length && reply[index] !== DOT; index++)
    deliveries = deliveries * 10 + ((reply[index] as number) - ZERO);
  index++;
  let sequence = 0;
  for (; index < reply.length && reply[index] !== DOT; index++)
    sequence = sequence * 10 + ((reply[index] as number) - ZERO);
  index++;
  while (index < reply.length && reply[index] !== DOT) index++;
  index++;
  let end = index;
  while (end < reply.length && reply[end] !== DOT) end++;
  // A double holds no nanoseconds since the epoch, so the timestamp is read in two parts.
  const split = end - BELOW_MILLISECOND;
  let milliseconds = 0;
  for (; index < split; index++) milliseconds = milliseconds * 10 + ((reply[index] as number) - ZERO);
  let nanoseconds = 0;
  for (; index < end; index++) nanoseconds = nanoseconds * 10 + ((reply[index] as number) - ZERO);
  return { deliveries, sequence, milliseconds, nanoseconds };
}
