/** Dead letters: the original bytes and headers of an event that could not be handled, and why. */
import { headerBlock, headerEntries, headerLine } from '../core/headers.ts';
import type { DeadLetterStore } from '../core/ports.ts';
import type { Failure, Run } from '../core/run.ts';
import { messageIds } from '../deliver/ids.ts';
import type { Publisher } from '../deliver/ports.ts';
import { asOuzelError, formatPlace, type OuzelError } from '../errors.ts';

export const DEAD_LETTER_STREAM = 'OUZEL_DLQ';
export const DEAD_LETTER_SUBJECTS = 'ouzel.dlq.>';
export const deadLetterSubject = (consumer: string): string => `ouzel.dlq.${consumer}`;

/** Names the object that holds a body which is stored apart. */
export const BODY_HEADER = 'Ouzel-Body';
const NO_BODY = new Uint8Array(0);

/** The run of an event's first passage; replays and re-drives have ids of their own. */
const FIRST_RUN = 'first';

/** Milliseconds to wait for the PubAck. */
const TIMEOUT = 10_000;
/** Characters of an error message or a key in a header, at most. */
const LONGEST = 1024;

/** The error as a person should read it, with its code and, for an expression, where it stands. */
const described = ({ error }: Failure): string => {
  const place = error.place === undefined ? '' : ` at ${formatPlace(error.place)}`;
  return `${error.code}${place}: ${error.message}`.slice(0, LONGEST);
};

/** The routes that still had to be delivered: the failed ones where deliveries had begun, else all. */
const openRoutes = (run: Run): string =>
  (run.deliveries ?? [])
    .filter(({ state }) => state !== 'confirmed')
    .map(({ route }) => route.name)
    .join(',');

/** The header lines of a letter: the event's own headers as they came, and what happened to it. */
function letterLines(run: Run, failure: Failure, reason: string, id: string, options: LetterOptions): string {
  const { event, consumer } = run;
  const { milliseconds, sequence } = event.position;
  const now = Date.now();
  const firstFailed = consumer.attempts.get(event)?.firstFailedAt ?? now;
  let lines = '';
  if (event.carrier.headers !== undefined)
    for (const [name, value] of headerEntries(event.carrier.headers))
      if (!/^(?:nats-|ouzel-(?!hops$))/i.test(name)) lines += headerLine(name, value);
  const original = event.header('Nats-Msg-Id');
  if (original !== undefined) lines += headerLine('Ouzel-Msg-Id', original);
  lines += headerLine('Nats-Msg-Id', id);
  lines += headerLine('Ouzel-Consumer', consumer.name);
  lines += headerLine('Ouzel-Routes', openRoutes(run));
  lines += headerLine('Ouzel-Reason', reason);
  lines += headerLine('Ouzel-Error', options.redact(described(failure)));
  lines += headerLine('Ouzel-Attempts', String(run.attempt));
  lines += headerLine('Ouzel-Stream', event.stream);
  lines += headerLine('Ouzel-Subject', event.carrier.subject);
  lines += headerLine('Ouzel-Sequence', String(sequence));
  lines += headerLine('Ouzel-Time', new Date(milliseconds).toISOString());
  lines += headerLine('Ouzel-First-Failed', new Date(firstFailed).toISOString());
  lines += headerLine('Ouzel-Failed', new Date(now).toISOString());
  const key = options.keyOf(run);
  if (key !== undefined) lines += headerLine('Ouzel-Key', key.slice(0, LONGEST));
  lines += headerLine('Ouzel-Run', FIRST_RUN);
  return lines;
}

export interface LetterOptions {
  /** The key of an event, by its stream's `key` expression; undefined where there is none. */
  readonly keyOf: (run: Run) => string | undefined;
  /** Takes the secrets of the configuration out of a text. */
  readonly redact: (text: string) => string;
}

/** Where bodies go that are too large for a letter with its headers (`nats/bodies.ts`). */
interface LargeBodies {
  put(name: string, body: Uint8Array): Promise<string>;
}

/**
 * Dead letters in a JetStream stream. A body that leaves no room for the letter's headers is stored beside it.
 */
export function createDeadLetterStore(
  publisher: Publisher,
  bodies: LargeBodies,
  options: LetterOptions,
): DeadLetterStore {
  return {
    store(run, failure, reason, done) {
      const { event, consumer } = run;
      const subject = deadLetterSubject(consumer.name);
      const id = messageIds(event.stream, consumer.name, 'dead_letter')(event.position);
      const lines = letterLines(run, failure, reason, id, options);
      const publish = (headers: string, body: Uint8Array, failed: (error: OuzelError) => void) =>
        publisher.publish(subject, headerBlock(headers), body, TIMEOUT, { confirmed: () => done(), failed });
      const storeApart = () =>
        bodies
          .put(id, event.carrier.body)
          .then((name) => publish(lines + headerLine(BODY_HEADER, name), NO_BODY, done));
      publish(lines, event.carrier.body, (error) => {
        if (error.code !== 'TARGET_TOO_LARGE') return done(error);
        storeApart().catch((reason: unknown) => done(asOuzelError(reason)));
      });
    },
  };
}
