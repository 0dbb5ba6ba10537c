/** An incident never reaches a consumer that it concerns: that would be a loop. */
import type { Outcome, Step } from '../core/plan.ts';
import { CONCERNS_HEADER } from '../telemetry/incidents/catalogue.ts';

/**
 * The step at the head of the plan of a consumer of incidents.
 *
 * @param consumer Its name.
 * @param own How an incident ends that concerns it.
 */
export const ownIncidentsStep = (consumer: string, own: Outcome): Step => ({
  name: 'own_incidents',
  run: ({ event }) =>
    event
      .header(CONCERNS_HEADER)
      ?.split(',')
      .some((name) => name.trim() === consumer) === true
      ? own
      : undefined,
});
