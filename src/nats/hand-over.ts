/** Hands an event to one consumer at once: a message on `ouzel.due.<consumer>`, as `core/handover.ts` writes it. */
import { type Handover, handoverLines } from '../core/handover.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import type { Publisher } from '../deliver/ports.ts';
import { OuzelError } from '../errors.ts';
import type { Bodies } from './bodies.ts';
import { dueSubject } from './timers.ts';

/** Milliseconds to wait for a PubAck. */
const TIMEOUT = 10_000;
const NO_BODY = new Uint8Array(0);

export interface HandOverPorts {
  readonly publisher: Publisher;
  readonly bodies: Pick<Bodies, 'put'>;
}

/** What is handed over, to whom. */
export interface HandOver {
  readonly consumer: string;
  /** `Nats-Msg-Id`: the same for all who hand over the same. */
  readonly id: string;
  readonly handover: Omit<Handover, 'bodyName'>;
  readonly body: Uint8Array;
  /** The object that holds the body already, where it is stored apart. */
  readonly bodyName?: string | undefined;
  /** The name of the object, should the body have to be stored apart. */
  readonly apart: string;
  /** What it is, for an error: `dead letter 17`. */
  readonly what: string;
}

export interface HandedOver {
  /** Whether it was there already. */
  readonly duplicate: boolean;
  /** The number of the message, or of the one that was there. */
  readonly sequence: number;
}

/**
 * Publishes the handover, and waits for the PubAck; a body that leaves no room for the headers is stored apart first.
 *
 * @throws OuzelError TARGET_*: it is not stored, or nobody knows
 */
export async function publishHandOver(ports: HandOverPorts, given: HandOver): Promise<HandedOver> {
  const { bodyName, body, apart } = given;
  if (bodyName !== undefined) return publishHeaders(ports, given, bodyName);
  try {
    return await publish(ports, given, undefined, body);
  } catch (error) {
    if (!isTooLarge(error)) throw error;
  }
  return publishHeaders(ports, given, await ports.bodies.put(apart, body));
}

const publish = (
  { publisher }: HandOverPorts,
  { consumer, id, handover }: HandOver,
  bodyName: string | undefined,
  body: Uint8Array,
): Promise<HandedOver> =>
  new Promise((resolve, reject) => {
    const block = headerBlock(headerLine('Nats-Msg-Id', id) + handoverLines({ ...handover, bodyName }));
    publisher.publish(dueSubject(consumer), block, body, TIMEOUT, {
      confirmed: (duplicate, sequence = 0) => resolve({ duplicate, sequence }),
      failed: reject,
    });
  });

const isTooLarge = (error: unknown): boolean => error instanceof OuzelError && error.code === 'TARGET_TOO_LARGE';

async function publishHeaders(ports: HandOverPorts, given: HandOver, bodyName: string): Promise<HandedOver> {
  try {
    return await publish(ports, given, bodyName, NO_BODY);
  } catch (error) {
    if (!isTooLarge(error)) throw error;
    const message = `${given.what}: the headers of its event leave no room for a handover (64 KiB in all)`;
    throw new OuzelError('TARGET_TOO_LARGE', message, { cause: error });
  }
}
