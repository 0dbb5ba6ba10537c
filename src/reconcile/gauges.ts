/** Gauges that are computed when somebody looks, so that an event pays nothing for them. */
import type { Metrics } from '../telemetry/metrics.ts';
import { targetOf } from './limits.ts';
import type { ConsumerRuntime } from './runtime.ts';

/** How many events in hand wait for which throttle. */
export function showThrottled(runtimes: Iterable<ConsumerRuntime>, { throttleWaiting }: Metrics): void {
  let throttles = 0;
  for (const { cell } of throttleWaiting.series()) {
    cell.set(0);
    throttles++;
  }
  if (throttles === 0) return;
  for (const { name, consumer } of runtimes)
    for (const { throttledBy } of consumer.runs()) {
      const target = throttledBy === undefined ? undefined : targetOf(throttledBy);
      if (target !== undefined) throttleWaiting.with(name, target).increment();
    }
}
