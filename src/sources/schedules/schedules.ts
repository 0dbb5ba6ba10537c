/** The schedules of the configuration in force. What a reload did not change goes on as it was. */
import { randomUUID } from 'node:crypto';
import type { Config } from '../../config/schema.ts';
import type { Stored } from '../../contracts/post.ts';
import { asOuzelError, OuzelError } from '../../errors.ts';
import type { Logger } from '../../telemetry/log.ts';
import { type Clock, wallClock } from './clock.ts';
import type { Ledger } from './ledger.ts';
import { keyOf, type RunnerListener, type RunnerState, ScheduleRunner, type ScheduleSource } from './runner.ts';

/** Milliseconds before what could not be forgotten is tried again. */
const FORGET_AGAIN = 5_000;

export interface SchedulesOptions {
  /** The configuration in force. */
  readonly config: () => Config;
  /** @throws OuzelError NATS_UNAVAILABLE */
  readonly ledger: () => Ledger;
  readonly listener: RunnerListener & {
    added(name: string): void;
    removed(name: string): void;
  };
  readonly logger: Logger;
  readonly clock?: Clock;
}

export class Schedules {
  readonly #options: SchedulesOptions;
  readonly #clock: Clock;
  readonly #runners = new Map<string, ScheduleRunner>();
  /** Those that tick no more and are not done yet. */
  readonly #ending = new Set<Promise<void>>();
  /** Keys of records that nobody needs any more. */
  readonly #forgotten = new Set<string>();
  #of: Config['sources'] | undefined;
  #again: () => void = () => undefined;
  #closed = false;

  constructor(options: SchedulesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? wallClock;
  }

  /** The configuration in force is another one. */
  follow(): void {
    const { sources } = this.#options.config();
    if (this.#closed || this.#of === sources) return;
    this.#of = sources;
    const now = new Map(Object.entries(sources).flatMap(([name, of]) => (isSchedule(of) ? [[name, of] as const] : [])));
    for (const [name, runner] of this.#runners) {
      const of = now.get(name);
      if (of !== undefined && keyOf(name, of.schedule) === runner.key) continue;
      this.#runners.delete(name);
      this.#end(name, runner);
    }
    for (const [name, of] of now) {
      const runner = this.#runners.get(name);
      if (runner !== undefined) runner.update(of);
      else this.#begin(name, of);
    }
  }

  /** What is known of a schedule here; undefined where there is none of this name. */
  state(name: string): RunnerState | undefined {
    return this.#runners.get(name)?.state;
  }

  /**
   * Publishes a tick that nobody waited for; those that are to come stay as they are.
   *
   * @throws OuzelError NOT_FOUND, NATS_UNAVAILABLE, TARGET_*, EVENT_*
   */
  async fire(name: string): Promise<Stored> {
    const runner = this.#runners.get(name);
    if (runner === undefined) throw new OuzelError('NOT_FOUND', `there is no schedule "${name}"`);
    const message = runner.message(this.#clock.now(), `${name}.fired.${randomUUID()}`, true);
    const stored = await this.#options.ledger().publish(message, runner.timeout);
    if (stored === undefined) throw new OuzelError('INTERNAL', 'a condition that was not set does not hold');
    return stored;
  }

  /** Ticks no more, once what is being published is. @param deadline Ends the waiting. */
  async close(deadline: Promise<void>): Promise<void> {
    this.#closed = true;
    this.#again();
    const ending = [...this.#ending, ...[...this.#runners.values()].map((runner) => runner.stop())];
    await Promise.race([Promise.allSettled(ending), deadline]);
  }

  #begin(name: string, of: ScheduleSource): void {
    const { ledger, listener } = this.#options;
    listener.added(name);
    const runner = new ScheduleRunner(of, { name, clock: this.#clock, ledger, listener });
    // It came back before its record was gone: it goes on from there.
    this.#forgotten.delete(runner.key);
    this.#runners.set(name, runner);
    runner.look();
  }

  #end(name: string, runner: ScheduleRunner): void {
    const ending = runner
      .retire()
      .finally(() => {
        this.#ending.delete(ending);
        if (!this.#runners.has(name)) this.#options.listener.removed(name);
        if (![...this.#runners.values()].some(({ key }) => key === runner.key)) this.#forgotten.add(runner.key);
      })
      .then(() => this.#forget());
    this.#ending.add(ending);
  }

  async #forget(): Promise<void> {
    try {
      for (const key of this.#forgotten) {
        await this.#options.ledger().forget(key);
        this.#forgotten.delete(key);
      }
    } catch (error) {
      this.#options.logger.debug({ error: asOuzelError(error).message }, 'the record of a schedule is still there');
      if (this.#closed) return;
      this.#again();
      this.#again = this.#clock.after(FORGET_AGAIN, () => void this.#forget());
    }
  }
}

const isSchedule = (of: Config['sources'][string]): of is ScheduleSource => of.schedule !== undefined;
