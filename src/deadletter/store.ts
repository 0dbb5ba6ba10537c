/** Dead letters: the original bytes and headers of an event that could not be handled, and why. */
import { FIRST_RUN, formatTimestamp } from '../core/handover.ts';
import { headerBlock, headerEntries, headerLine } from '../core/headers.ts';
import type { Event } from '../core/event.ts';
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
/** The same for the event's own headers: the server takes 64 KiB of them, and an event may have as many. */
export const HEADERS_HEADER = 'Ouzel-Headers';
const NO_BODY = new Uint8Array(0);

/** Milliseconds to wait for the PubAck. */
const TIMEOUT = 10_000;
/** Characters of an error message or a key in a header, at most. */
const LONGEST = 1024;

/** The error as a person should read it, with its code and, for an expression, where it stands. */
const described = ({ error }: Failure): string => {
  const place = error.place === undefined ? '' : ` at ${formatPlace(error.place)}`;
  return `${error.code}${place}: ${error.message}`.slice(0, LONGEST);
};

/** The routes that are still to be delivered: those that failed, or all that have not confirmed; empty: all. */
function openRoutes(run: Run): string {
  const { deliveries, record, handed, plan } = run;
  if (deliveries !== undefined)
    return deliveries
      .filter(({ state }) => state !== 'confirmed')
      .map(({ route }) => route.name)
      .join(',');
  const confirmed = record?.confirmed ?? [];
  if (confirmed.length === 0 && handed?.routes === undefined) return '';
  return (handed?.routes ?? plan.routes).filter((name) => !confirmed.includes(name)).join(',');
}

/** The event's own headers as they came. */
function originalLines(event: Event): string {
  const { headers } = event.carrier;
  if (headers === undefined) return '';
  let lines = '';
  for (const [name, value] of headerEntries(headers))
    if (!/^(?:nats-|ouzel-(?!hops$))/i.test(name)) lines += headerLine(name, value);
  const id = event.header('Nats-Msg-Id');
  return id === undefined ? lines : lines + headerLine('Ouzel-Msg-Id', id);
}

/** The header lines that say what happened to the event. */
function letterLines(run: Run, failure: Failure, reason: string, id: string, options: LetterOptions): string {
  const { event, consumer } = run;
  const { sequence } = event.position;
  const now = Date.now();
  const firstFailed = (run.record?.firstFailedAt ?? 0) || now;
  let lines = headerLine('Nats-Msg-Id', id);
  lines += headerLine('Ouzel-Consumer', consumer.name);
  lines += headerLine('Ouzel-Routes', openRoutes(run));
  lines += headerLine('Ouzel-Reason', reason);
  lines += headerLine('Ouzel-Error', options.redact(described(failure)));
  lines += headerLine('Ouzel-Attempts', String(run.attempt));
  lines += headerLine('Ouzel-Stream', event.stream);
  lines += headerLine('Ouzel-Subject', event.carrier.subject);
  lines += headerLine('Ouzel-Sequence', String(sequence));
  lines += headerLine('Ouzel-Time', formatTimestamp(event.position));
  lines += headerLine('Ouzel-First-Failed', new Date(firstFailed).toISOString());
  lines += headerLine('Ouzel-Failed', new Date(now).toISOString());
  const { span } = run;
  if (span !== undefined) lines += headerLine('Ouzel-Trace', span.traceparent);
  const key = options.keyOf(run);
  if (key !== undefined) lines += headerLine('Ouzel-Key', key.slice(0, LONGEST));
  lines += headerLine('Ouzel-Run', run.id === '' ? FIRST_RUN : run.id);
  return lines;
}

export interface LetterOptions {
  /** The key of an event, by its stream's `key` expression; undefined where there is none. */
  readonly keyOf: (run: Run) => string | undefined;
  /** Takes the secrets of the configuration out of a text. */
  readonly redact: (text: string) => string;
  /** Takes a letter away for good; one that is not there is gone already. @throws OuzelError */
  readonly remove: (sequence: number) => Promise<void>;
}

/** Where bodies go that are too large for a letter with its headers (`nats/bodies.ts`). */
interface LargeBodies {
  put(name: string, body: Uint8Array): Promise<string>;
}

/**
 * Dead letters in a JetStream stream. What leaves no room for the letter is stored beside it: the body, and if that is
 * not enough the event's own headers too. There is no event that cannot become a letter.
 */
export function createDeadLetterStore(
  publisher: Publisher,
  bodies: LargeBodies,
  options: LetterOptions,
): DeadLetterStore {
  return {
    remove(sequence, done) {
      options.remove(sequence).then(
        () => done(),
        (error: unknown) => done(asOuzelError(error)),
      );
    },
    store(run, failure, reason, done) {
      const { event, consumer } = run;
      const subject = deadLetterSubject(consumer.name);
      const id = messageIds(event.stream, consumer.name, 'dead_letter')(run);
      const { headers, body } = event.carrier;
      const original = originalLines(event);
      const lines = letterLines(run, failure, reason, id, options);
      const publish = (block: string, rest: Uint8Array, failed: (error: OuzelError) => void): void =>
        publisher.publish(subject, headerBlock(block), rest, TIMEOUT, {
          confirmed: (_duplicate, sequence) => done(undefined, sequence),
          failed,
        });
      /** Tries a letter that is smaller when the one before was too large. */
      const otherwise = (smaller: () => Promise<void>) => (error: OuzelError) => {
        if (error.code !== 'TARGET_TOO_LARGE') return done(error);
        smaller().catch((reason: unknown) => done(asOuzelError(reason)));
      };
      const storeAllApart = async (bodyLine: string): Promise<void> => {
        const name = await bodies.put(`${id}.headers`, headers ?? NO_BODY);
        publish(lines + bodyLine + headerLine(HEADERS_HEADER, name), NO_BODY, done);
      };
      const storeBodyApart = async (): Promise<void> => {
        const bodyLine = headerLine(BODY_HEADER, await bodies.put(id, body));
        publish(
          original + lines + bodyLine,
          NO_BODY,
          otherwise(() => storeAllApart(bodyLine)),
        );
      };
      publish(original + lines, body, otherwise(storeBodyApart));
    },
  };
}
