/** Opens messages on `ouzel.due.<consumer>`: events that a timer or a re-drive hands to a consumer. */
import { type Carrier, type Decoder, Event, type Position } from '../core/event.ts';
import { type Handed, type Handover, readHandover } from '../core/handover.ts';
import { OuzelError } from '../errors.ts';
import type { Bodies } from './bodies.ts';
import type { Alarm } from '../flow/debounce.ts';
import { readAlarm } from './held.ts';
import type { Take } from './pull.ts';
import { TIMER_STREAM } from './timers.ts';

export interface HandedOptions {
  /** How the consumer's events are decoded now. */
  readonly decode: () => Decoder;
  readonly bodies: Pick<Bodies, 'get'>;
  /** An alarm for what debounce holds: it brings no event. */
  readonly alarm: (alarm: Alarm, reply: Uint8Array) => void;
  /** Ends an event that somebody decided goes no further. */
  readonly cancelled: (event: Event, handed: Handed) => void;
  /** Something that has to be waited for failed; the server delivers the event again. */
  readonly onWarning: (message: string) => void;
}

/**
 * What the pull of due events does with each. The event is what it was in its stream, and is answered for by the
 * message that brought it.
 */
export function openHanded({ decode, bodies, alarm, cancelled, onWarning }: HandedOptions) {
  return (carrier: Carrier, position: Position, take: Take): void => {
    const alarmed = readAlarm(carrier.headers);
    if (alarmed !== undefined)
      return alarm({ ...alarmed, id: `${position.sequence}.${position.milliseconds}` }, carrier.reply);
    const handed = readHandover(carrier.headers);
    // Somebody published straight to the subject: an event like any other.
    if (handed === undefined) return take(new Event(carrier, position, TIMER_STREAM, decode()));
    const { bodyName } = handed;
    const taken = (body: Uint8Array, decoder: Decoder): void => {
      const event = eventOf(carrier, position, handed, body, decoder);
      (handed.cancelled === true ? cancelled : take)(event, { ...handed, due: position });
    };
    if (bodyName === undefined) return taken(carrier.body, decode());
    bodies
      .get(bodyName)
      .then((body) => (body === undefined ? taken(carrier.body, bodyGone(bodyName)) : taken(body, decode())))
      .catch((error: unknown) => onWarning(`the body of a due event could not be read: ${String(error)}`));
  };
}

function eventOf(
  { reply }: Carrier,
  { deliveries }: Position,
  { stream, subject, position, headers }: Handover,
  body: Uint8Array,
  decode: Decoder,
): Event {
  return new Event({ subject, reply, headers, body }, { ...position, deliveries }, stream, decode);
}

const bodyGone =
  (name: string): Decoder =>
  () => {
    throw new OuzelError('EVENT_UNDECODABLE', `the event's body, object ${name}, is gone`);
  };
