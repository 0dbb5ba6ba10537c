/** What is asked of the server again and again while consumers run. */
import type { JetStreamManager } from '@nats-io/jetstream';
import { storedKeys } from '../nats/stored-keys.ts';
import { dueCounts, TIMER_KINDS, waitingTimers } from '../nats/timers.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { ConsumerRuntime } from './runtime.ts';

/** What the durables have left, how many events wait for a timer, and what is stored of the order of keys. */
export async function pollDurables(
  manager: JetStreamManager,
  runtimes: readonly ConsumerRuntime[],
  metrics: Metrics,
): Promise<void> {
  for (const runtime of runtimes) await runtime.poll();
  await showTimers(manager, runtimes, metrics);
  await showStored(
    manager,
    runtimes.filter(({ blueprint }) => blueprint.plan.ordered === true),
    metrics,
  );
}

/** A number that is not known any more is not shown; nor is one of what is stored. */
async function showTimers(
  manager: JetStreamManager,
  runtimes: readonly ConsumerRuntime[],
  { timersPending, timersByKind }: Metrics,
): Promise<void> {
  const waiting = await waitingTimers(
    manager,
    runtimes.map(({ name }) => name),
  );
  const known = new Set([...timersByKind.series()].map(({ labels }) => `${labels['consumer']} ${labels['kind']}`));
  for (const { name } of runtimes) {
    if (waiting === undefined) {
      timersPending.remove('consumer', name);
      timersByKind.remove('consumer', name);
      continue;
    }
    let all = 0;
    for (const kind of TIMER_KINDS) {
      const count = waiting.get(name)?.[kind] ?? 0;
      all += count;
      // Every consumer has retries; what it never had is left out.
      if (count > 0 || kind === 'retry' || known.has(`${name} ${kind}`)) timersByKind.with(name, kind).set(count);
    }
    timersPending.with(name).set(all);
  }
}

async function showStored(
  manager: JetStreamManager,
  ordered: readonly ConsumerRuntime[],
  { orderKeysStored, orderKeysHeld, orderStored }: Metrics,
): Promise<void> {
  if (ordered.length === 0) return;
  const stored = await storedKeys(manager);
  for (const runtime of ordered) {
    const { name } = runtime;
    runtime.stored = stored === undefined || stored.has(name);
    const { keys = 0, held = 0, events = 0 } = stored?.get(name) ?? {};
    for (const [family, value] of [
      [orderKeysStored, keys],
      [orderKeysHeld, held],
      [orderStored, events],
    ] as const)
      if (stored === undefined) family.remove('consumer', name);
      else family.with(name).set(value);
  }
}

/** Whose events are due: whoever set their timers may be gone, and a re-drive comes from anywhere. */
export async function pollDue(manager: JetStreamManager, runtimes: readonly ConsumerRuntime[]): Promise<void> {
  const due = await dueCounts(manager);
  for (const runtime of runtimes) {
    const isDue = due.has(runtime.name);
    if (isDue) await runtime.tendDue();
    // What is not answered is asked again the next time.
    runtime.tend(isDue).catch(() => undefined);
  }
}
