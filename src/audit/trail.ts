/**
 * The trail of one process: records wait here for the next batch, and one batch is under way at a time, so that the
 * stream has them in the order of their chain. Where the trail is required, the runs wait with their records, without
 * a promise each: the sweep of their consumer keeps them alive, and the PubAck of a batch ends all that are in it.
 */
import type { Config } from '../config/schema.ts';
import type { Outcome } from '../core/plan.ts';
import type { AuditTrail } from '../core/ports.ts';
import type { Failure, Run } from '../core/run.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import type { Publisher } from '../deliver/ports.ts';
import { asOuzelError, OuzelError } from '../errors.ts';
import type { KeyOf } from '../reconcile/keys.ts';
import type { Cell } from '../telemetry/cells.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Anchor } from './anchor.ts';
import { hashOf, NO_HASH, OUTCOME_STREAM, outcomeSubject, writeBatch } from './chain.ts';
import { type Line, LineWriter, piecesOf } from './lines.ts';
import { Payload } from './payloads.ts';
import { type ActLink, writeAct, writeAttempt, writeOutcome } from './record.ts';

/** Records with which a batch is sent at once, those that one has at most, and their bytes. */
const ENOUGH = 256;
const MOST = 1_024;
const LARGE = 512 * 1024;
/** Records that wait at most, of those for which nobody waits. */
const LONGEST = 16_384;
/** Milliseconds that a record waits for others. Where its event waits with it, the next batch leaves as soon as can be. */
const WITHIN = 20;
/** Milliseconds to wait for a PubAck, and between attempts: the first, and the longest. */
const TIMEOUT = 5_000;
const AGAIN_FIRST = 500;
const AGAIN_MOST = 5_000;
/** Refusals in a row after which a trail that closes lets go of what is only recorded where it can be. */
const GIVES_UP = 3;

/** Bytes of data that wait, at most, of events for which nobody waits; and those that one batch has. */
const MOST_DATA = 64 * 2 ** 20;
const LARGE_DATA = 8 * 2 ** 20;

type Kind = 'outcome' | 'attempt' | 'act';

interface Entry {
  readonly kind: Kind;
  readonly line: Line;
  /** The data of the event, where it is kept. */
  readonly payload?: Payload | undefined;
  /** The run that waits for it, with how it ends. */
  readonly run?: Run;
  readonly outcome?: Outcome;
  /** Whoever else waits for it. */
  readonly done?: (error?: OuzelError) => void;
}

interface Sending {
  readonly entries: readonly Entry[];
  readonly bytes: Uint8Array;
  readonly hash: string;
  readonly number: number;
  readonly time: number;
}

export interface TrailOptions {
  /** The name of this process, and of its chain. */
  readonly instance: string;
  readonly keyOf: KeyOf;
  /** Takes the secrets of the configuration in force out of a text. */
  readonly redact: (text: string) => string;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

export class Trail implements AuditTrail {
  mode: AuditTrail['mode'];
  #payloads: boolean;
  readonly #options: TrailOptions;
  readonly #recorded: Readonly<Record<Kind, Cell>>;
  readonly #refusals: Cell;
  readonly #lines = new LineWriter();
  #publisher: Publisher | undefined;
  #anchor: Anchor | undefined;
  #prepare: () => Promise<void> = () => Promise.resolve();
  #queue: Entry[] = [];
  /** Bytes of lines in the queue. */
  #bytes = 0;
  /** Bytes of data in the queue. */
  #data = 0;
  #sending: Sending | undefined;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #again: NodeJS.Timeout | undefined;
  #failures = 0;
  /** Why nothing can be stored now. */
  #problem: OuzelError | undefined = new OuzelError('NATS_UNAVAILABLE', 'NATS is away');
  #most = MOST;
  #closed = false;
  #whenEmpty: (() => void) | undefined;
  /** The head of the chain: how many batches are stored, and the last one. */
  #number = 0;
  #hash = NO_HASH;
  #sequence = 0;
  #time = 0;

  constructor({ mode, payloads }: Pick<Config['audit'], 'mode' | 'payloads'>, options: TrailOptions) {
    this.mode = mode;
    this.#payloads = payloads;
    this.#options = options;
    const { auditDropped, auditRecords, auditRefusals } = options.metrics;
    for (const kind of ['outcome', 'attempt'] as const) auditDropped.with(kind);
    const cellOf = (kind: Kind): Cell => auditRecords.with(kind);
    this.#recorded = { outcome: cellOf('outcome'), attempt: cellOf('attempt'), act: cellOf('act') };
    this.#refusals = auditRefusals.with();
  }

  /**
   * Begins to store.
   *
   * @param prepare Makes the streams where they are gone.
   */
  async connect(publisher: Publisher, anchor: Anchor, prepare: () => Promise<void>): Promise<void> {
    this.#prepare = prepare;
    await this.#ready();
    this.#anchor = anchor;
    this.#publisher = publisher;
    this.#problem = undefined;
    this.resume();
  }

  /** Another configuration is in force. Records that wait go on to be stored. */
  follow(next: Config['audit'], before: Config['audit']): void {
    this.mode = next.mode;
    this.#payloads = next.payloads;
    const isSame = (['mode', 'keep', 'max_bytes', 'payloads'] as const).every((name) => next[name] === before[name]);
    if (!isSame && this.#publisher !== undefined) this.#ready().catch(() => undefined);
  }

  /** Brings gauges up to date that are computed rather than counted. */
  refresh(): void {
    const { auditWaiting, auditLag } = this.#options.metrics;
    auditWaiting.with().set(this.#queue.length + (this.#sending?.entries.length ?? 0));
    auditLag.with().set(this.#sending === undefined ? 0 : Math.max(0, Date.now() - this.#sending.time) / 1000);
  }

  outcome(run: Run, outcome: Outcome): void {
    const { keyOf, redact } = this.#options;
    const required = this.mode === 'required';
    // Those that are waited for are bounded by what their consumers have in hand.
    if (!required && this.#isFull('outcome')) return;
    const key = keyOf(run);
    const payload = this.#payloads ? new Payload(run.event.carrier.body, key) : undefined;
    const line = writeOutcome(this.#lines, run, outcome, key, redact, payload?.hash);
    this.#add(required ? { kind: 'outcome', line, payload, run, outcome } : { kind: 'outcome', line, payload });
  }

  attempt(run: Run, failure: Failure, delay: number): void {
    if (this.#isFull('attempt')) return;
    const { keyOf, redact } = this.#options;
    this.#add({ kind: 'attempt', line: writeAttempt(this.#lines, run, failure, delay, keyOf(run), redact) });
  }

  /** Resolves when the chain has an act. @throws OuzelError when that takes longer, because it is refused now */
  act(act: Omit<ActLink, 'kind'>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const done = (error?: OuzelError): void => (error === undefined ? resolve() : reject(error));
    const problem = this.#problem;
    this.#add({ kind: 'act', line: writeAct(this.#lines, act), ...(problem === undefined ? { done } : {}) });
    if (problem !== undefined) return Promise.reject(problem);
    this.#send();
    return promise;
  }

  /** To be called when NATS is back: what waits goes out now. */
  resume(): void {
    if (this.#again !== undefined) this.#retry();
    else this.#send();
  }

  /** Stores what waits, anchors the head and takes no more. @param limit Resolves when there is no more time. */
  async close(limit: Promise<void>): Promise<void> {
    const { promise: empty, resolve } = Promise.withResolvers<void>();
    this.#whenEmpty = resolve;
    this.resume();
    if (this.#sending !== undefined || this.#queue.length > 0) await Promise.race([empty, limit]);
    this.#closed = true;
    for (const timer of [this.#timer, this.#again]) clearTimeout(timer);
    clearImmediate(this.#immediate);
    for (const { kind, run } of [...(this.#sending?.entries ?? []), ...this.#queue])
      if (run === undefined) this.#options.metrics.auditDropped.with(kind).increment();
    this.#sending = undefined;
    this.#queue = [];
    await this.#anchor?.close(limit);
  }

  /** Makes the streams; whether they can be made shows when they are published to. */
  async #ready(): Promise<void> {
    await this.#prepare().catch((error: unknown) => {
      const { code, message } = asOuzelError(error);
      this.#options.logger.error({ code, stream: OUTCOME_STREAM }, `no stream for the audit: ${message}`);
    });
  }

  #isFull(kind: Kind): boolean {
    if (this.#queue.length < LONGEST && this.#data < MOST_DATA && !this.#closed) return false;
    this.#options.metrics.auditDropped.with(kind).increment();
    return true;
  }

  #add(entry: Entry): void {
    this.#queue.push(entry);
    this.#bytes += sizeOf(entry.line);
    this.#data += entry.payload?.body.length ?? 0;
    if (this.#sending === undefined && this.#again === undefined) this.#arrange();
  }

  #arrange(): void {
    if (this.#queue.length >= ENOUGH || this.#bytes >= LARGE) this.#send();
    // Longer batches would cost less, and the events that wait for them more: they are in no cache any more by then.
    else if (this.mode === 'required') this.#immediate ??= setImmediate(this.#send);
    else this.#timer ??= setTimeout(this.#send, WITHIN);
  }

  readonly #send = (): void => {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#timer = undefined;
    this.#immediate = undefined;
    if (this.#publisher === undefined || this.#sending !== undefined || this.#again !== undefined) return;
    const entries = this.#take();
    if (entries.length === 0) return this.#whenEmpty?.();
    const time = Date.now();
    const { instance: chain } = this.#options;
    const bytes = writeBatch(
      {
        chain,
        number: this.#number,
        previous: this.#hash,
        previous_sequence: this.#sequence,
        previous_time: this.#time,
        time,
        records: entries.length,
      },
      piecesOf(entries.map(({ line }) => line)),
    );
    this.#sending = { entries, bytes, hash: hashOf(bytes), number: this.#number, time };
    this.#publish(this.#publisher, this.#sending);
  };

  #take(): Entry[] {
    let bytes = 0;
    let data = 0;
    let count = 0;
    const most = Math.min(this.#queue.length, this.#most);
    while (count < most && (count === 0 || (bytes < LARGE && data < LARGE_DATA))) {
      const { line, payload } = this.#queue[count++] as Entry;
      bytes += sizeOf(line);
      data += payload?.body.length ?? 0;
    }
    this.#bytes -= bytes;
    this.#data -= data;
    if (count < this.#queue.length) return this.#queue.splice(0, count);
    const all = this.#queue;
    this.#queue = [];
    return all;
  }

  /** The data first: a record says that it is there. */
  #publish(publisher: Publisher, sending: Sending): void {
    const open = sending.entries.flatMap(({ payload }) => (payload?.stored === false ? [payload] : []));
    if (open.length === 0) return this.#publishBatch(publisher, sending);
    let left = open.length;
    let refusal: OuzelError | undefined;
    const answered = (): void => {
      if (--left > 0 || this.#sending !== sending) return;
      if (refusal === undefined) this.#publishBatch(publisher, sending);
      else this.#refused(sending, refusal);
    };
    for (const payload of open)
      publisher.publish(payload.subject, payload.headers, payload.body, TIMEOUT, {
        confirmed: () => {
          payload.stored = true;
          answered();
        },
        failed: (error) => {
          if (error.code === 'TARGET_TOO_LARGE') {
            // It came, but with the subject it does not go again.
            payload.stored = true;
            this.#options.metrics.auditDropped.with('payload').increment();
          } else refusal ??= error;
          answered();
        },
      });
  }

  #publishBatch(publisher: Publisher, sending: Sending): void {
    const { instance } = this.#options;
    let lines = headerLine('Nats-Msg-Id', `${instance}.${sending.number}`);
    lines += 'Content-Type: application/x-ndjson\r\nContent-Encoding: zstd\r\n';
    publisher.publish(outcomeSubject(instance), headerBlock(lines), sending.bytes, TIMEOUT, {
      confirmed: (_duplicate, sequence = 0) => {
        if (this.#sending === sending) this.#stored(sending, sequence);
      },
      failed: (error) => {
        if (this.#sending === sending) this.#refused(sending, error);
      },
    });
  }

  #stored({ entries, hash, number, time }: Sending, sequence: number): void {
    this.#sending = undefined;
    this.#failures = 0;
    this.#problem = undefined;
    this.#most = MOST;
    this.#number = number + 1;
    this.#hash = hash;
    this.#sequence = sequence;
    this.#time = time;
    this.#anchor?.moved({ number, hash, sequence, time });
    // The next batch leaves before the runs of this one end: what they make room for takes its time.
    if (this.#queue.length > 0) this.#arrange();
    for (const entry of entries) {
      this.#recorded[entry.kind].increment();
      end(entry);
    }
    if (this.#queue.length === 0 && this.#whenEmpty !== undefined) this.#send();
  }

  #refused(sending: Sending, error: OuzelError): void {
    if (error.code === 'TARGET_TOO_LARGE') return this.#tooLarge(sending, error);
    this.#problem = error;
    this.#refusals.increment();
    const delay = Math.min(AGAIN_MOST, AGAIN_FIRST * 2 ** Math.min(this.#failures, 8));
    if (this.#failures++ === 0)
      this.#options.logger.error(
        { code: error.code, stream: OUTCOME_STREAM, waiting: sending.entries.length + this.#queue.length },
        `the audit cannot be stored, and is tried again: ${error.message}`,
      );
    this.#again = setTimeout(() => {
      if (error.code !== 'TARGET_NO_STREAM') return this.#retry();
      this.#ready().then(this.#retry, this.#retry);
    }, delay);
    this.#again.unref();
    // Nobody waits at the end for what was refused all along.
    if (this.#failures > GIVES_UP && this.mode !== 'required') this.#whenEmpty?.();
    const told = new Set<string>();
    for (const entry of [...sending.entries, ...this.#queue]) {
      const { run, done } = entry;
      done?.(error);
      if (run === undefined) continue;
      run.consumer.settle.unaudited(run, error, delay, !told.has(run.consumer.name));
      told.add(run.consumer.name);
    }
  }

  /** The same batch once more, under the same id: it may be stored already. */
  readonly #retry = (): void => {
    clearTimeout(this.#again);
    this.#again = undefined;
    if (this.#publisher === undefined || this.#sending === undefined) return this.#send();
    this.#publish(this.#publisher, this.#sending);
  };

  /** The server takes less than a batch has: it was not stored, and its records go in smaller ones. */
  #tooLarge({ entries }: Sending, error: OuzelError): void {
    this.#sending = undefined;
    const [only] = entries;
    if (entries.length > 1 || only === undefined) {
      this.#most = Math.ceil(entries.length / 2);
      this.#queue = [...entries, ...this.#queue];
      for (const { line, payload } of entries) {
        this.#bytes += sizeOf(line);
        this.#data += payload?.body.length ?? 0;
      }
    } else {
      this.#options.metrics.auditDropped.with(only.kind).increment();
      this.#options.logger.error({ code: error.code }, `a record is too large for the audit: ${error.message}`);
      end(only);
    }
    this.#send();
  }
}

const sizeOf = ({ from, to }: Line): number => to - from;

/** Lets go of whoever waits for a record. */
function end({ run, outcome, done }: Entry): void {
  try {
    if (run !== undefined && outcome !== undefined) run.consumer.settle.audited(run, outcome);
    done?.();
  } catch (error) {
    // A run that cannot end must not keep the others from it; its time-out ends it.
    run?.consumer.settle.unaudited(run, asOuzelError(error), AGAIN_FIRST, true);
  }
}
