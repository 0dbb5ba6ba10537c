import { z } from 'zod';

/** What the process as a whole may do. */
export const runtime = z
  .strictObject({
    max_in_flight: z
      .number()
      .int()
      .min(1)
      .max(1_000_000)
      .optional()
      .describe(
        'Events at work at once in this process, over all consumers, which take turns. What waits for a target or for a throttle is not at work. Default: no limit.',
      ),
  })
  .prefault({})
  .describe('What this process as a whole may do.');
