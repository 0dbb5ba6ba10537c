/**
 * Carries out a replay: hands each event over to its consumers, in the order of the stream, and notes how far it is.
 *
 * What is handed over counts once its PubAck is there, and is noted then, a few hundred events at a time. A run that is
 * killed between the two hands the same over again when it is gone on with, under the same message ids, which the
 * server knows within its window for duplicates.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { replayRun } from '../core/handover.ts';
import { pacer } from '../deadletter/pace.ts';
import { messageIds } from '../deliver/ids.ts';
import { asOuzelError, OuzelError } from '../errors.ts';
import { type HandOver, publishHandOver } from '../nats/hand-over.ts';
import type { ReplayAccess } from './asked.ts';
import type { Claim } from './begin.ts';
import type { ReplayRecord } from './record.ts';
import { Room } from './room.ts';
import type { StoredEvent } from './source.ts';
import { patiently, walk } from './walk.ts';

/** Handovers on their way at once. */
const AT_ONCE = 256;
/** Milliseconds after which it is noted how far it is, at least. */
const NOTE = 1_000;
/** Bytes of a body that may have to be stored apart, which takes longer than the events behind it may. */
const LARGE = 131_072;
/** Events that could not be handed over, in the record. */
const FAILURES = 20;

export interface ReplayControl {
  /** Ends it, cleanly. */
  readonly signal: AbortSignal;
  /** Hears how far it is; `waits` is the consumer that has as many events due as it may. */
  readonly progress?: (record: ReplayRecord, waits: string | undefined) => void;
}

/** What was begun and is not noted yet. */
interface Sent {
  readonly event: StoredEvent;
  readonly consumers: readonly string[];
}

/**
 * Runs to the end, the signal, or until somebody stops it.
 *
 * @returns The record as it is kept then.
 * @throws OuzelError CONFLICT when somebody else took it over; what stopped it is kept in its record
 */
export async function runReplay(access: ReplayAccess, claim: Claim, control: ReplayControl): Promise<ReplayRecord> {
  try {
    return await new Runner(access, claim, control).run();
  } finally {
    await claim.plan.source.close();
  }
}

class Runner {
  readonly #access: ReplayAccess;
  readonly #claim: Claim;
  readonly #control: ReplayControl;
  readonly #room: Room;
  readonly #ids = new Map<string, ReturnType<typeof messageIds>>();
  readonly #run: string;
  #record: ReplayRecord;
  #revision: number;
  #sent: Sent[] = [];
  #under: Promise<unknown>[] = [];
  /** What is true once everything that was sent is confirmed. */
  #ahead: Pick<ReplayRecord, 'cursor' | 'read' | 'selected'>;
  #notedAt = performance.now();
  /** Somebody ended it through its record. */
  #stopped = false;

  constructor(access: ReplayAccess, claim: Claim, control: ReplayControl) {
    this.#access = access;
    this.#claim = claim;
    this.#control = control;
    this.#room = new Room(access.manager);
    this.#record = claim.record;
    this.#revision = claim.revision;
    this.#ahead = claim.record;
    this.#run = replayRun(claim.record.name);
  }

  async run(): Promise<ReplayRecord> {
    const { signal } = this.#control;
    try {
      await this.#walk();
      await this.#flush();
    } catch (error) {
      if (this.#stopped) return this.#end('stopped', this.#record.reason);
      if (signal.aborted) return this.#end('stopped', 'interrupted');
      const own = asOuzelError(error, 'NATS_UNAVAILABLE');
      // Whoever took it over writes the record now.
      if (own.code === 'CONFLICT') throw own;
      await this.#end('failed', own.message).catch(() => undefined);
      throw own;
    }
    if (this.#stopped) return this.#end('stopped', this.#record.reason);
    return this.#end(signal.aborted ? 'stopped' : 'done', signal.aborted ? 'interrupted' : undefined);
  }

  async #walk(): Promise<void> {
    const { plan } = this.#claim;
    const { signal } = this.#control;
    const turn = pacer(plan.rate);
    this.#control.progress?.(this.#record, undefined);
    for await (const { event, selected } of walk(plan, this.#record.extent, this.#record.cursor, signal)) {
      if (signal.aborted || this.#stopped) return;
      const { consumers } = selected;
      if (consumers.length > 0) {
        if (this.#ahead.selected >= plan.limit) return;
        await this.#untilRoom(consumers);
        if (this.#stopped) return;
        await turn((ms) => this.#pause(ms));
        if (this.#stopped) return;
        this.#send({ event, consumers });
      }
      this.#ahead = {
        cursor: event.cursor,
        read: this.#ahead.read + 1,
        selected: this.#ahead.selected + (consumers.length > 0 ? 1 : 0),
      };
      const isLarge = consumers.length > 0 && event.body.length > LARGE;
      if (isLarge || this.#under.length >= AT_ONCE || performance.now() - this.#notedAt > NOTE) await this.#flush();
    }
  }

  async #untilRoom(consumers: readonly string[]): Promise<void> {
    const { signal, progress } = this.#control;
    while (!this.#stopped) {
      const full = this.#room.full(consumers);
      if (full === undefined) return;
      if (this.#sent.length > 0 || performance.now() - this.#notedAt > NOTE) await this.#flush();
      await patiently(signal, () => this.#room.look(consumers, signal));
      const still = this.#room.full(consumers);
      if (still !== undefined) progress?.(this.#record, still);
    }
  }

  /** A low rate has long pauses: how far it is gets noted meanwhile, and who stops it or takes it over is heard. */
  async #pause(ms: number): Promise<void> {
    const until = performance.now() + ms;
    for (let left = ms; left > 0 && !this.#stopped; left = until - performance.now()) {
      await sleep(Math.min(left, NOTE), undefined, { signal: this.#control.signal });
      if (performance.now() - this.#notedAt > NOTE) await this.#flush();
    }
  }

  #send(sent: Sent): void {
    this.#sent.push(sent);
    for (const consumer of sent.consumers) {
      this.#room.take(consumer);
      const publishing = publishHandOver(this.#access, this.#handOver(sent.event, consumer));
      // Looked at in `#flush`; until then nobody is to take it for forgotten.
      publishing.catch(() => undefined);
      this.#under.push(publishing);
    }
  }

  #handOver(event: StoredEvent, consumer: string): HandOver {
    const { stream, subject, position, headers, body } = event;
    let ids = this.#ids.get(consumer);
    if (ids === undefined) this.#ids.set(consumer, (ids = messageIds(stream, consumer, 'replay')));
    const id = ids({ id: this.#run, event: { position: { ...position, deliveries: 1 } } });
    const handover = { stream, subject, position, headers, run: this.#run, record: undefined, routes: undefined };
    return {
      consumer,
      id,
      handover: { ...handover, letter: undefined },
      body,
      apart: id,
      what: `${stream}:${position.sequence}`,
    };
  }

  /** Waits for the PubAcks of what was sent, and notes how far it is. */
  async #flush(): Promise<void> {
    const sent = this.#sent;
    const results = await Promise.allSettled(this.#under);
    const failures: ReplayRecord['failures'] = [];
    const handed = new Map<string, number>();
    let index = 0;
    let again = false;
    for (const { event, consumers } of sent)
      for (const consumer of consumers) {
        const result = results[index++];
        let error = result?.status === 'rejected' ? asOuzelError(result.reason) : undefined;
        // What comes behind one that is not known to be stored is handed over again too, so that the order stays.
        again ||= error !== undefined && error.kind !== 'rejected';
        if (again) error = await this.#sendAgain(event, consumer);
        if (error === undefined) handed.set(consumer, (handed.get(consumer) ?? 0) + 1);
        else
          failures.push({
            event: `${event.stream}:${event.position.sequence}`,
            code: error.code,
            message: error.message,
          });
      }
    this.#sent = [];
    this.#under = [];
    const record = this.#record;
    const before = record.handed;
    await this.#note({
      ...record,
      ...this.#ahead,
      handed: {
        ...before,
        ...Object.fromEntries([...handed].map(([name, more]) => [name, (before[name] ?? 0) + more])),
      },
      failed: record.failed + failures.length,
      failures: [...record.failures, ...failures].slice(0, FAILURES),
    });
    this.#control.progress?.(this.#record, undefined);
  }

  /** @returns What is the event's own fault. @throws OuzelError: the server stays away */
  async #sendAgain(event: StoredEvent, consumer: string): Promise<OuzelError | undefined> {
    try {
      await patiently(this.#control.signal, () => publishHandOver(this.#access, this.#handOver(event, consumer)));
      return undefined;
    } catch (error) {
      if (error instanceof OuzelError && error.kind === 'rejected') return error;
      throw error;
    }
  }

  /** Keeps the record, unless it is somebody else's by now. @throws OuzelError CONFLICT, NATS_UNAVAILABLE */
  async #note(next: ReplayRecord): Promise<void> {
    const { store } = this.#claim;
    const { signal } = this.#control;
    const record = { ...next, updated: new Date().toISOString() };
    this.#notedAt = performance.now();
    const revision = await patiently(signal, () => store.put(record, this.#revision));
    if (revision !== undefined) {
      this.#record = record;
      this.#revision = revision;
      return;
    }
    const now = await patiently(signal, () => store.get(record.name));
    if (now?.record.runner !== record.runner)
      throw new OuzelError('CONFLICT', `somebody else goes on with replay "${record.name}" now, so it ends here`);
    this.#revision = now.revision;
    const { state, reason } = now.record;
    // An answer of the server that did not arrive leaves a record of our own.
    if (state === 'running' || record.state !== 'running') return this.#note(next);
    this.#stopped = true;
    this.#record = { ...record, state, ...(reason === undefined ? {} : { reason }) };
  }

  async #end(state: 'done' | 'stopped' | 'failed', reason: string | undefined): Promise<ReplayRecord> {
    if (this.#sent.length > 0 && state === 'stopped') await this.#flush();
    const { reason: _before, ...record } = this.#record;
    await this.#note({ ...record, state, ...(reason === undefined ? {} : { reason }) });
    return this.#record;
  }
}
