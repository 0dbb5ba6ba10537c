/** From a dead letter back to its event, as it came. */
import type { Config } from '../config/schema.ts';
import { messageView } from '../contracts/decode.ts';
import { Event } from '../core/event.ts';
import { parseTimestamp } from '../core/handover.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import type { Scope } from '../expression/index.ts';
import { decoderOf } from '../reconcile/build.ts';
import type { DeadLetter } from './read.ts';

const NO_REPLY = new Uint8Array(0);

/** The event's own header block with the `Nats-Msg-Id` that it came with, or undefined where it had none. */
export function originalBlock({ headers, messageId }: DeadLetter): Uint8Array | undefined {
  let lines = headers.map(([name, value]) => headerLine(name, value)).join('');
  if (messageId !== undefined) lines += headerLine('Nats-Msg-Id', messageId);
  return lines === '' ? undefined : new TextEncoder().encode(headerBlock(lines));
}

/** The event of a letter that is complete (`completeLetter`). */
export function eventOfLetter(letter: DeadLetter, config: Config): Event {
  const { stream, subject, eventSequence: sequence, attempts, time, body } = letter;
  const position = { sequence, deliveries: attempts, ...parseTimestamp(time) };
  const carrier = { subject, reply: NO_REPLY, headers: originalBlock(letter), body };
  return new Event(carrier, position, stream, decoderOf(config, stream));
}

/** What an expression sees of it. */
export const scopeOf = (event: Event): Scope => ({ event, msg: messageView(event), now: Date.now() });
