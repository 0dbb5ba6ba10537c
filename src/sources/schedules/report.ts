/** What is said of schedules: metrics, the log, and incidents. */
import type { Config } from '../../config/schema.ts';
import type { OuzelError } from '../../errors.ts';
import { LogEconomy } from '../../telemetry/economy.ts';
import type { Incidents } from '../../telemetry/incidents.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { SchedulesOptions } from './schedules.ts';

export interface ReportOptions {
  /** The configuration in force. */
  readonly config: () => Config;
  readonly incidents: Pick<Incidents, 'scheduleFailing' | 'scheduleRecovered'>;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

const iso = (instant: number): string => new Date(instant).toISOString();

export class ScheduleReport {
  readonly #options: ReportOptions;
  readonly #economy: LogEconomy;
  readonly #timer: NodeJS.Timeout;
  /** Of which `schedule.failing` was said, and since when. */
  readonly #failing = new Map<string, number>();

  constructor(options: ReportOptions) {
    const { logger, metrics } = options;
    this.#options = options;
    this.#economy = new LogEconomy({ logger, suppressed: metrics.logLinesSuppressed.with() });
    this.#timer = setInterval(() => this.#economy.tick(), 1000).unref();
  }

  readonly listener: SchedulesOptions['listener'] = {
    added: (name) => {
      const { metrics } = this.#options;
      metrics.scheduleTicks.with(name, 'published');
      metrics.scheduleTicks.with(name, 'rejected');
      metrics.scheduleMissed.with(name);
    },
    removed: (name) => {
      const { scheduleTicks, scheduleMissed, scheduleLast, scheduleNext } = this.#options.metrics;
      for (const family of [scheduleTicks, scheduleMissed, scheduleLast, scheduleNext]) family.remove('source', name);
      this.#failing.delete(name);
    },
    published: (name, instant) => {
      this.#options.metrics.scheduleTicks.with(name, 'published').increment();
      this.#options.logger.debug({ source: name, instant: iso(instant) }, 'ticked');
      this.listener.recovered(name);
    },
    moved: (name, last, next) => {
      const { metrics } = this.#options;
      if (last !== undefined) metrics.scheduleLast.with(name).set(last / 1000);
      if (next !== undefined) metrics.scheduleNext.with(name).set(next / 1000);
      // What never comes is not overdue.
      else metrics.scheduleNext.remove('source', name);
    },
    missed: (name, count, uncounted) => {
      this.#options.metrics.scheduleMissed.with(name).add(count);
      const ticks = uncounted ? `more than ${count}` : count;
      this.#options.logger.warn({ source: name, ticks }, 'ticks were missed and are left out');
    },
    rejected: (name, instant, error) => {
      this.#options.metrics.scheduleTicks.with(name, 'rejected').increment();
      const line = {
        kind: `rejected ${name}`,
        level: 'error',
        message: 'a tick cannot be made and is left out',
      } as const;
      this.#economy.write(line, { source: name, code: error.code }, () => ({
        instant: iso(instant),
        reason: error.message,
      }));
      this.#fails(name, error);
    },
    failed: (name, error) => {
      // That NATS is away is said already, and of all schedules at once.
      if (error.code === 'NATS_UNAVAILABLE') return;
      const line = {
        kind: `${name} ${error.code}`,
        level: 'error',
        message: 'the ticks of a schedule are not published',
      } as const;
      this.#economy.write(line, { source: name, code: error.code }, () => ({ reason: error.message }));
      this.#fails(name, error);
    },
    recovered: (name) => {
      const since = this.#failing.get(name);
      if (since === undefined) return;
      this.#failing.delete(name);
      this.#options.logger.info({ source: name }, 'the ticks of a schedule are published again');
      this.#options.incidents.scheduleRecovered(name, since);
    },
  };

  /** Says what is not said yet. */
  close(): void {
    clearInterval(this.#timer);
    this.#economy.flush();
  }

  #fails(name: string, error: OuzelError): void {
    if (this.#failing.has(name)) return;
    this.#failing.set(name, Date.now());
    const subject = this.#options.config().sources[name]?.publish.subject.source ?? '';
    this.#options.incidents.scheduleFailing(name, subject, error);
  }
}
