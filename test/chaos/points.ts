/**
 * Instants at which a daemon is killed: right before the bytes of the last step go to the server, once bytes of the
 * steps before it were seen. `preload.ts` recognises them on the daemon's own connection.
 */

/** Regular expressions over the bytes of the protocol, one step after the other. */
export interface Point {
  readonly name: string;
  readonly steps: readonly string[];
}

const ack = (consumer: string): string => `PUB \\$JS\\.ACK\\.[^ ]*\\.${consumer}\\.[^ ]* 4\\r\\n\\+ACK`;
/** Acks of what was due bear the name of OUZEL_TIMERS' own durable, which begins with the consumer's. */
const anyAck = 'PUB \\$JS\\.ACK\\.[^ ]* 4\\r\\n\\+ACK';
const nak = 'PUB \\$JS\\.ACK\\.[^ ]* \\d+\\r\\n-NAK';
const sent = (subject: string): string => `H?PUB ${subject}`;

export const POINTS: readonly Point[] = [
  { name: 'before the effect', steps: [sent('out\\.relay\\.')] },
  { name: 'after the effect and before the ack', steps: [sent('out\\.relay\\.'), ack('relay')] },
  { name: 'after the answer and before the ack', steps: [sent('svc\\.call '), ack('call')] },
  { name: 'between the routes', steps: [sent('out\\.fan\\.a '), sent('out\\.fan\\.b ')] },
  { name: 'after both routes and before the ack', steps: [sent('out\\.fan\\.b '), ack('fan')] },
  { name: 'before the dead letter', steps: [sent('ouzel\\.dlq\\.')] },
  { name: 'after the dead letter and before the ack', steps: [sent('ouzel\\.dlq\\.broken '), ack('broken')] },
  { name: 'after the attempt record and before the nak', steps: [sent('\\$KV\\.OUZEL_ATTEMPTS\\.'), nak] },
  { name: 'before a nak', steps: [nak] },
  { name: 'after the timer and before the ack', steps: [sent('ouzel\\.timer\\.'), anyAck] },
];

/** The daemon's environment names the file in which the armed point stands; SIGUSR2 has it read. */
export const ARM_FILE = 'OUZEL_CHAOS_ARM';

/** What the daemon says before it kills itself. */
export const LAST_WORDS = 'chaos: killed';

/** What a daemon does not survive to send: the request of a lethal event. */
export const LETHAL = 'PUB svc.lethal ';
