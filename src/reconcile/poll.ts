/** What is asked of the server again and again while consumers run. */
import type { JetStreamManager } from '@nats-io/jetstream';
import { dueCounts, waitingTimers } from '../nats/timers.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { ConsumerRuntime } from './runtime.ts';

/** What the durables have left, and how many events wait for a timer. */
export async function pollDurables(
  manager: JetStreamManager,
  runtimes: readonly ConsumerRuntime[],
  { timersPending }: Metrics,
): Promise<void> {
  for (const runtime of runtimes) await runtime.poll();
  const waiting = await waitingTimers(
    manager,
    runtimes.map(({ name }) => name),
  );
  // A number that is not known any more is not shown.
  for (const { name } of runtimes)
    if (waiting === undefined) timersPending.remove('consumer', name);
    else timersPending.with(name).set(waiting.get(name) ?? 0);
}

/** Whose events are due: whoever set their timers may be gone, and a re-drive comes from anywhere. */
export async function pollDue(manager: JetStreamManager, runtimes: readonly ConsumerRuntime[]): Promise<void> {
  const due = await dueCounts(manager);
  for (const runtime of runtimes) {
    if (due.has(runtime.name)) await runtime.tendDue();
    // What is not answered is asked again the next time.
    runtime.tend().catch(() => undefined);
  }
}
