import { expect } from 'vitest';
import type { Daemon } from './daemon.ts';
import type { Metrics } from './metrics.ts';
import { waitFor } from './wait.ts';

/** What became of a consumer's events, as its metrics say. */
export interface Outcomes {
  readonly received: number;
  readonly delivered: number;
  readonly filtered: number;
  readonly dropped: number;
  readonly deadLettered: number;
  readonly retries: number;
  readonly returned: number;
  readonly parked: number;
  readonly inFlight: number;
  /** Events that reached an outcome. */
  readonly ended: number;
}

export function outcomesOf(metrics: Metrics, consumer: string): Outcomes {
  const outcome = (name: string): number => metrics.total('ouzel_events_total', { consumer, outcome: name });
  return {
    received: metrics.total('ouzel_events_received_total', { consumer }),
    delivered: outcome('delivered'),
    filtered: outcome('filtered'),
    dropped: outcome('dropped'),
    deadLettered: outcome('dead_lettered'),
    retries: metrics.total('ouzel_event_retries_total', { consumer }),
    returned: metrics.total('ouzel_events_returned_total', { consumer }),
    parked: metrics.total('ouzel_events_parked_total', { consumer }),
    inFlight: metrics.total('ouzel_events_in_flight', { consumer }),
    ended: metrics.total('ouzel_events_total', { consumer }),
  };
}

/** DESIGN.md §7: at rest, all that was received ended, was given back, or is in hand. */
export function expectIdentity(metrics: Metrics, consumer: string): Outcomes {
  const found = outcomesOf(metrics, consumer);
  const { received, ended, retries, returned, parked, inFlight } = found;
  expect(ended, `${consumer}: the outcomes have no kind of their own`).toBe(
    found.delivered + found.filtered + found.dropped + found.deadLettered,
  );
  expect(received, `${consumer}: ${JSON.stringify(found)}`).toBe(ended + retries + returned + parked + inFlight);
  return found;
}

/** Waits until that many events of a consumer have an outcome and none is in hand; then the sums must hold. */
export async function untilEnded(daemon: Daemon, consumer: string, count: number, timeout = 45_000): Promise<Outcomes> {
  let found: Outcomes | undefined;
  const metrics = await waitFor(
    async () => {
      const scraped = await daemon.metrics();
      found = outcomesOf(scraped, consumer);
      return found.ended >= count && found.inFlight === 0 && scraped;
    },
    {
      timeout,
      what: () => `${count} events of ${consumer} to end: ${JSON.stringify(found)}\n${daemon.log().slice(-3000)}`,
    },
  );
  const outcomes = expectIdentity(metrics, consumer);
  expect(outcomes.ended).toBe(count);
  return outcomes;
}
