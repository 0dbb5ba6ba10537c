import { z } from 'zod';
import { duration, expression } from '../fields.ts';

/** `count` of a consumer. */
export const count = z
  .strictObject({
    by: expression()
      .optional()
      .describe(
        'What is counted apart: events with the same value. Those without the field share one. Default: all events of the consumer.',
      ),
    within: duration({ min: 1000 }).describe("The sliding window, by the stream's timestamps."),
    at: z
      .number()
      .int()
      .min(2)
      .max(1000)
      .describe('The event that goes on: the nth within the window. Counting begins anew with the next.'),
  })
  .optional()
  .describe(
    'Lets every nth event within a window go on, and drops the others (outcome `dropped`, reason `counted`), over all instances. Re-drives pass; each replay is counted apart.',
  );
