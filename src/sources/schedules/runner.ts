/** One schedule on this instance: waits for the next instant, and sees to it that its tick is in a stream. */
import { createHash } from 'node:crypto';
import type { SourceConfig } from '../../config/schema.ts';
import { headerLine } from '../../core/headers.ts';
import { stringifyJson } from '../../core/json.ts';
import { asOuzelError, type OuzelError } from '../../errors.ts';
import { compilePublish, type Message, type MessageMaker } from '../publish.ts';
import type { ScheduleOptions } from '../schedule.ts';
import type { Clock } from './clock.ts';
import type { Ledger, Progress, Revised, Tick } from './ledger.ts';
import { type Due, dueOf, jitterOf, type LeftOut } from './plan.ts';
import { publishOnce } from './publish-once.ts';
import { type Timing, timingOf } from './timing.ts';
import { zonedTime } from './zone.ts';

/** Milliseconds between two looks at the clock, which may jump. */
const LOOK_AGAIN = 30_000;
/** Milliseconds before what failed is tried again: at first and at most. */
const RETRY_FIRST = 1_000;
const RETRY_MAX = 30_000;
/** Milliseconds by which a record outlives the next tick. */
const OUTLIVES = 30 * 86_400_000;

/** A source that is a schedule. */
export type ScheduleSource = SourceConfig & { readonly schedule: ScheduleOptions };

export interface RunnerOptions {
  readonly name: string;
  readonly clock: Clock;
  /** @throws OuzelError NATS_UNAVAILABLE */
  readonly ledger: () => Ledger;
  readonly listener: RunnerListener;
}

export interface RunnerListener {
  /** This instance put a tick into a stream. */
  published(name: string, instant: number): void;
  /** How far the schedule is, whoever brought it there; `next` is when it ticks next, with its jitter. */
  moved(name: string, last: number | undefined, next: number | undefined): void;
  /** So many ticks were left out, as `missed` says; `uncounted`: or more. */
  missed(name: string, count: number, uncounted: boolean): void;
  /** A tick that cannot be made, and is left out. */
  rejected(name: string, instant: number, error: OuzelError): void;
  failed(name: string, error: OuzelError): void;
  recovered(name: string): void;
}

/** What is known of a schedule here. */
export interface RunnerState {
  readonly next: number | undefined;
  readonly last: Tick | undefined;
  /** Why its ticks are not published now. */
  readonly trouble: OuzelError | undefined;
}

export class ScheduleRunner {
  readonly #options: RunnerOptions;
  readonly #timing: Timing;
  readonly #key: string;
  /** Up to when it is done with where no record says otherwise: from when on it is there. */
  readonly #since: number;
  #of: ScheduleSource;
  #maker: MessageMaker;
  #known: Progress | undefined;
  /** The instant behind the last one that is done with. */
  #following: { readonly upto: number; readonly instant: number | undefined } | undefined;
  #trouble: OuzelError | undefined;
  #failures = 0;
  #cancel: () => void = () => undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(of: ScheduleSource, options: RunnerOptions) {
    this.#options = options;
    this.#of = of;
    this.#maker = compilePublish(of.publish);
    this.#timing = timingOf(of.schedule);
    this.#key = keyOf(options.name, of.schedule);
    this.#since = options.clock.now();
    this.#wait();
  }

  /** Of the record in KV: the same as long as it ticks at the same instants. */
  get key(): string {
    return this.#key;
  }

  get state(): RunnerState {
    return { next: this.#next, last: this.#known?.tick, trouble: this.#trouble };
  }

  /** Puts another configuration in force that ticks at the same instants. */
  update(of: ScheduleSource): void {
    if (of === this.#of) return;
    this.#of = of;
    this.#maker = compilePublish(of.publish);
    this.look();
  }

  /** Looks at the clock now. */
  look(): void {
    if (this.#stopped || this.#looking !== undefined) return;
    this.#cancel();
    this.#looking = this.#look().finally(() => {
      this.#looking = undefined;
      this.#wait();
    });
  }

  /** The message of a tick. @throws OuzelError EVENT_* */
  message(instant: number, id: string, fired: boolean): Message & { readonly id: string } {
    const { name, clock } = this.#options;
    const time = zonedTime(instant, this.#of.schedule.timezone);
    const iso = new Date(instant).toISOString();
    const body = stringifyJson({ schedule: name, instant: iso });
    const origin = { id, describing: headerLine('Content-Type', 'application/json'), body };
    const made = this.#maker({ schedule: { name, instant, time, fired } }, origin, clock.now());
    const marks = headerLine('Ouzel-Schedule', name) + headerLine('Ouzel-Instant', iso);
    return { ...made, headers: made.headers + marks, id: made.id ?? id };
  }

  get timeout(): number {
    return this.#of.publish.timeout;
  }

  /** Ends it, once what is due by now was tried. */
  async retire(): Promise<void> {
    await this.#looking;
    this.look();
    await this.stop();
  }

  /** Ends it, once what it is at is done. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#looking;
  }

  /** When it ticks next, with its jitter. */
  get #next(): number | undefined {
    const upto = this.#known?.upto ?? this.#since;
    // To work it out takes longer than all else here.
    if (this.#following?.upto !== upto) this.#following = { upto, instant: this.#timing.next(upto) };
    const { instant } = this.#following;
    return instant === undefined ? undefined : instant + this.#jitter(instant);
  }

  #jitter(instant: number): number {
    return jitterOf(this.#options.name, instant, this.#of.schedule.jitter);
  }

  #wait(): void {
    if (this.#stopped) return;
    const { clock, listener, name } = this.#options;
    const next = this.#next;
    listener.moved(name, this.#known?.tick?.instant, next);
    const until = next === undefined ? LOOK_AGAIN : Math.min(LOOK_AGAIN, Math.max(0, next - clock.now()));
    this.#cancel = clock.after(this.#trouble === undefined ? until : this.#pause(this.#trouble), () => this.look());
  }

  /** NATS may be back at any time, and nobody is asked to find out. */
  #pause({ code }: OuzelError): number {
    return code === 'NATS_UNAVAILABLE' ? RETRY_FIRST : Math.min(RETRY_MAX, RETRY_FIRST * 2 ** (this.#failures - 1));
  }

  async #look(): Promise<void> {
    const { name, listener } = this.#options;
    try {
      await this.#catchUp();
      if (this.#trouble === undefined) return;
      this.#trouble = undefined;
      this.#failures = 0;
      listener.recovered(name);
    } catch (error) {
      this.#trouble = asOuzelError(error);
      this.#failures++;
      listener.failed(name, this.#trouble);
    }
  }

  async #catchUp(): Promise<void> {
    // Nothing is due as far as is known here, and others know no less.
    const isDue = (this.#next ?? Number.POSITIVE_INFINITY) <= this.#options.clock.now();
    if (this.#known !== undefined && !isDue && this.#trouble === undefined) return;
    const ledger = this.#options.ledger();
    let progress = await this.#read(ledger);
    // Somebody began it and may not be there any more: it is finished, however late it is.
    if (progress.claim !== undefined && progress.claim.instant > progress.upto)
      progress = await this.#tick(ledger, progress.claim.instant);
    const due = this.#due(progress.upto);
    if (due.instants.length === 0 && due.upto !== undefined) return this.#leaveOut(ledger, progress, due);
    for (const [index, instant] of due.instants.entries())
      await this.#tick(ledger, instant, index === 0 ? due : undefined);
  }

  #due(after: number): Due {
    const { name, clock } = this.#options;
    return dueOf(name, this.#timing, this.#of.schedule, after, clock.now());
  }

  /** The record; where there is none, one that begins where this instance began to know of the schedule. */
  async #read(ledger: Ledger): Promise<Revised> {
    const found = await ledger.read(this.#key);
    if (found !== undefined && Number.isFinite(found.upto)) return this.#knows(found);
    const begin: Progress = { upto: this.#known?.upto ?? this.#since, tick: this.#known?.tick };
    const revision = await ledger.write(this.#key, begin, found?.revision ?? 0, this.#ttl(begin.upto));
    return revision === undefined ? this.#read(ledger) : this.#knows({ ...begin, revision });
  }

  #knows(progress: Revised): Revised {
    this.#known = progress;
    return progress;
  }

  async #tick(ledger: Ledger, instant: number, due?: LeftOut): Promise<Revised> {
    const { name, listener } = this.#options;
    const message = this.#made(instant);
    if (message === undefined) return this.#pass(ledger, instant);
    const leaves = due === undefined || due.left === 0 ? undefined : { left: due.left, uncounted: due.uncounted };
    const one = { key: this.#key, instant, message, timeout: this.timeout, ttl: this.#ttl(instant), leaves };
    try {
      const { published, leaves: left, progress } = await publishOnce(ledger, one, this.#known?.upto ?? this.#since);
      if (published) listener.published(name, instant);
      if (left !== undefined) listener.missed(name, left.left, left.uncounted);
      return this.#knows(progress);
    } catch (error) {
      const problem = asOuzelError(error);
      if (problem.kind !== 'rejected') throw problem;
      listener.rejected(name, instant, problem);
      return this.#pass(ledger, instant);
    }
  }

  /** The message of a tick; undefined where none can be made, which is said. */
  #made(instant: number): (Message & { readonly id: string }) | undefined {
    const { name, listener } = this.#options;
    try {
      return this.message(instant, `${name}.${new Date(instant).toISOString()}`, false);
    } catch (error) {
      listener.rejected(name, instant, asOuzelError(error));
      return undefined;
    }
  }

  /** Notes that everything up to an instant is done with. */
  async #pass(ledger: Ledger, upto: number): Promise<Revised> {
    const progress = await this.#read(ledger);
    if (progress.upto >= upto) return progress;
    const passed = { upto, tick: progress.tick };
    const revision = await ledger.write(this.#key, passed, progress.revision, this.#ttl(upto));
    return revision === undefined ? this.#pass(ledger, upto) : this.#knows({ ...passed, revision });
  }

  async #leaveOut(ledger: Ledger, { revision, tick }: Revised, { left, uncounted, upto = 0 }: Due): Promise<void> {
    const { name, listener } = this.#options;
    const passed = { upto, tick };
    const written = await ledger.write(this.#key, passed, revision, this.#ttl(upto));
    if (written === undefined) return void (await this.#read(ledger));
    this.#knows({ ...passed, revision: written });
    listener.missed(name, left, uncounted);
  }

  #ttl(upto: number): number {
    const next = this.#timing.next(upto) ?? upto;
    return Math.max(0, next - this.#options.clock.now()) + OUTLIVES;
  }
}

/** A schedule that ticks at other instants is another one: it has a record of its own. */
export function keyOf(name: string, { cron, every, at, anchor, timezone }: ScheduleOptions): string {
  const when = cron === undefined ? { every, at, anchor } : { cron, timezone };
  return `${name}.${createHash('sha256').update(JSON.stringify(when)).digest('hex').slice(0, 12)}`;
}
