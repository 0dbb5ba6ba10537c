import { z } from 'zod';
import { duration, expression } from '../fields.ts';

/** `priority` of a consumer. */
export const priority = z
  .array(
    z.strictObject({
      when: expression().describe('Which events have this head start. A missing field counts as false.'),
      ahead: duration().describe('How much earlier such an event stands in line than it came.'),
    }),
  )
  .min(1)
  .optional()
  .describe(
    'Head starts in time over what waits for admission; the first entry that holds counts, and an event for which none does has none. Needs `concurrency` or `runtime.max_in_flight`: where nothing waits, nothing is overtaken.',
  );
