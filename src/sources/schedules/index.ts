/** The schedules of a daemon: what keeps them, and what is said of them. */
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import { createLedger } from '../../nats/ticks.ts';
import { ensureOwnStream, schedulesSpec } from '../../reconcile/system-streams.ts';
import type { Clock } from './clock.ts';
import { type ReportOptions, ScheduleReport } from './report.ts';
import { Schedules } from './schedules.ts';

export interface RunningOptions extends ReportOptions {
  /** @throws OuzelError NATS_UNAVAILABLE */
  readonly nats: () => { readonly client: JetStreamClient; readonly manager: JetStreamManager };
  readonly clock?: Clock;
}

export type RunningSchedules = Pick<Schedules, 'follow' | 'state' | 'fire' | 'close'>;

/** Nothing ticks before `follow` was called. */
export function startSchedules(options: RunningOptions): RunningSchedules {
  const { config, nats, logger, clock } = options;
  const report = new ScheduleReport(options);
  let preparing: Promise<void> | undefined;
  /** Once for all that find the bucket missing at the same time. */
  const prepare = (manager: JetStreamManager): Promise<void> =>
    (preparing ??= ensureOwnStream(manager, schedulesSpec(config()), logger).finally(() => (preparing = undefined)));
  const schedules = new Schedules({
    config,
    ledger: () => {
      const { client, manager } = nats();
      return createLedger({ client, manager, prepare: () => prepare(manager) });
    },
    listener: report.listener,
    logger,
    ...(clock === undefined ? {} : { clock }),
  });
  return {
    follow: () => schedules.follow(),
    state: (name) => schedules.state(name),
    fire: (name) => schedules.fire(name),
    close: async (deadline) => {
      await schedules.close(deadline);
      report.close();
    },
  };
}
