/** What waits: the stream OUZEL_TIMERS, its timers, and what is due. */
import { JetStreamError, type JetStreamManager, RetentionPolicy, type StreamConfig } from '@nats-io/jetstream';
import { writeRecord } from '../core/attempts.ts';
import { handoverLines } from '../core/handover.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import type { Parking, TimerKind } from '../core/ports.ts';
import { messageIds } from '../deliver/ids.ts';
import type { Publisher } from '../deliver/ports.ts';

export const TIMER_STREAM = 'OUZEL_TIMERS';
export const TIMER_SUBJECTS = ['ouzel.timer.>', 'ouzel.due.*'];

/** What is due for a consumer: timers that fired, and what was handed to it at once. */
export const dueSubject = (consumer: string): string => `ouzel.due.${consumer}`;

/**
 * A timer that waits.
 *
 * @param hash Unique for the event, its run and its attempt: a timer is never replaced.
 */
export const timerSubject = (consumer: string, kind: TimerKind, hash: string): string =>
  `ouzel.timer.${consumer}.${kind}.${hash.replaceAll('.', '_')}`;

/** The stream's configuration beside its name and subjects. What was due goes with its ack; what waits stays. */
export const TIMER_STREAM_OPTIONS: Partial<StreamConfig> = {
  retention: RetentionPolicy.Workqueue,
  allow_msg_schedules: true,
  allow_rollup_hdrs: true,
  allow_direct: true,
};

/** Milliseconds to wait for a PubAck. */
const TIMEOUT = 10_000;

/** Hands events over to timers in the stream OUZEL_TIMERS, which bring them back on `ouzel.due.<consumer>`. */
export function createParking(publisher: Publisher): Parking {
  return {
    park(run, record, kind, done) {
      const { event, consumer, handed } = run;
      const { subject, headers, body } = event.carrier;
      const steps = [record.used, record.deferred, ...(kind === 'retry' ? [] : [kind])];
      if (record.throttled > 0) steps.push(record.throttled);
      const id = `${messageIds(event.stream, consumer.name, 'timer')(run)}.${steps.join('.')}`;
      let lines = headerLine('Nats-Msg-Id', id);
      lines += headerLine('Nats-Schedule', `@at ${new Date(record.next).toISOString()}`);
      lines += headerLine('Nats-Schedule-Target', dueSubject(consumer.name));
      lines += handoverLines({
        stream: event.stream,
        subject,
        position: event.position,
        headers,
        run: run.id,
        record: writeRecord(record),
        routes: handed?.routes,
        letter: handed?.letter,
        bodyName: handed?.bodyName,
      });
      // A body that is stored apart stays there.
      const rest = handed?.bodyName === undefined ? body : '';
      publisher.publish(timerSubject(consumer.name, kind, id), headerBlock(lines), rest, TIMEOUT, {
        confirmed: () => done(),
        failed: done,
      });
    },
  };
}

/** Subjects of waiting timers that are counted one by one; beyond them counting costs more than it tells. */
const COUNTED = 100_000;

/** How many events are due for each consumer; those for whom there are none are left out. */
export async function dueCounts(manager: JetStreamManager): Promise<ReadonlyMap<string, number>> {
  const { state } = await manager.streams.info(TIMER_STREAM, { subjects_filter: 'ouzel.due.*' });
  return new Map(Object.entries(state.subjects ?? {}).map(([subject, due]) => [subject.split('.')[2] ?? '', due]));
}

/**
 * Removes what is due for a consumer and was acked: a server that is killed may have stored the ack and not that the
 * message is gone, and hands it to nobody any more.
 */
export async function removeAcked(manager: JetStreamManager, consumer: string): Promise<void> {
  const { ack_floor, num_ack_pending, num_pending } = await manager.consumers.info(TIMER_STREAM, consumer);
  if (num_ack_pending > 0 || num_pending > 0) return;
  const { state } = await manager.streams.info(TIMER_STREAM);
  // A stream that lost its end counts anew, and the durable's floor says nothing of what came since.
  if (state.last_seq < ack_floor.stream_seq) return;
  await manager.streams.purge(TIMER_STREAM, { filter: dueSubject(consumer), seq: ack_floor.stream_seq + 1 });
}

/** The kinds of timers that are counted. Of the stages that hand events over, only these do so to a timer. */
export const TIMER_KINDS = ['retry', 'throttle', 'delay', 'debounce'] as const satisfies readonly TimerKind[];

/** Characters of an alarm's name that are its place in what debounce holds (`nats/held.ts`). */
export const PLACE = 22;

/** How many timers of a consumer wait, by kind. */
export type TimerCounts = Partial<Record<(typeof TIMER_KINDS)[number], number>>;

/**
 * How many events of each consumer wait for a timer; of debounce those that it holds, an event a place. Where there are
 * very many, each consumer is asked for alone, which the server answers from its index: then all alarms of debounce are
 * counted. Undefined where the stream does not allow that.
 *
 * @param counted How many are not very many.
 */
export async function waitingTimers(
  manager: JetStreamManager,
  consumers: readonly string[],
  counted = COUNTED,
): Promise<ReadonlyMap<string, TimerCounts> | undefined> {
  const { state } = await manager.streams.info(TIMER_STREAM);
  const waiting = new Map<string, TimerCounts>();
  if (state.messages === 0) return waiting;
  if (state.messages > counted) {
    const all = consumers.flatMap((name) => TIMER_KINDS.map((kind) => ({ name, kind })));
    const counts = await Promise.all(
      all.map(({ name, kind }) => countMatching(manager, TIMER_STREAM, `ouzel.timer.${name}.${kind}.>`)),
    );
    for (const [index, { name, kind }] of all.entries()) {
      const count = counts[index];
      if (count === undefined) return undefined;
      waiting.set(name, { ...waiting.get(name), [kind]: count });
    }
    return waiting;
  }
  const timers = await manager.streams.info(TIMER_STREAM, { subjects_filter: 'ouzel.timer.>' });
  const places = new Set<string>();
  for (const [subject, count] of Object.entries(timers.state.subjects ?? {})) {
    const [, , consumer = '', kind, name = ''] = subject.split('.');
    if (kind === 'debounce') {
      // Several instances may set an alarm for what one of them holds.
      const place = `${consumer} ${name.slice(0, PLACE)}`;
      if (places.has(place)) continue;
      places.add(place);
    }
    const counts = waiting.get(consumer) ?? {};
    const known = TIMER_KINDS.find((each) => each === kind);
    if (known !== undefined) counts[known] = (counts[known] ?? 0) + count;
    waiting.set(consumer, counts);
  }
  return waiting;
}

/** The timers of a consumer. */
export const timersOf = (consumer: string): string => `ouzel.timer.${consumer}.>`;

/** The status of an answer that there is no message. */
const NONE = 404;

/** How many messages of a stream have a subject; undefined where the stream does not allow direct access. */
export async function countMatching(
  manager: JetStreamManager,
  stream: string,
  pattern: string,
): Promise<number | undefined> {
  try {
    const first = await manager.direct.getBatch(stream, { batch: 1, seq: 1, next_by_subj: pattern });
    for await (const { pending } of first) return pending + 1;
    return 0;
  } catch (error) {
    return error instanceof JetStreamError && 'code' in error && error.code === NONE ? 0 : undefined;
  }
}
