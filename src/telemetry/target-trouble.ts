/** What is said of a target whose breaker opened, or closed again. */
import type { Breaker } from '../deliver/breaker.ts';
import type { Incidents } from './incidents.ts';
import type { Logger } from './log.ts';

/**
 * @param consumers Who delivers there.
 * @param elsewhere Whether another instance found out that it is to be disabled, and said so.
 */
export function sayOfTarget(
  { target, isOpen, isDisabled, isGone, trouble }: Breaker,
  consumers: readonly string[],
  logger: Logger,
  incidents: Incidents,
  elsewhere: boolean,
): void {
  if (trouble === undefined) return;
  const { error, since } = trouble;
  if (isDisabled) {
    logger.warn({ target, consumers, error: error.message }, 'target is disabled; events for it wait');
    if (!elsewhere) incidents.targetDisabled(target, error);
    return;
  }
  if (isOpen) {
    logger.warn({ target, consumers, error: error.message }, 'target is unavailable; it is probed');
    return incidents.targetUnavailable(target, error);
  }
  const lasted = Math.round((Date.now() - since) / 1000);
  const what = isGone ? 'target that was unavailable left the configuration' : 'target is available again';
  logger.info({ target, consumers, for_s: lasted }, what);
  incidents.targetRecovered(target);
}
