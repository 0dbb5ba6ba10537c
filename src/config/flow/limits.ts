import { z } from 'zod';
import { duration, expression } from '../fields.ts';
import { refuse } from '../refuse.ts';

/** Events a second that can be told apart; a limit above it is none. */
const MOST = 1_000_000;

/** What all limits of a rate have. @param atOnce What `burst` is where it is left out, for the reference. */
const rate = (atOnce: string) => ({
  limit: z.number().int().min(1).max(1_000_000_000).describe('How many, in the time that `per` says.'),
  per: duration().describe('The time in which they may be that many.'),
  burst: z
    .number()
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .describe(`How many may go at once after a time without any. Default: ${atOnce}.`),
  by: expression()
    .optional()
    .describe('A limit of its own for each value of this. All events without the field share one.'),
  scope: z
    .enum(['fleet', 'instance'])
    .default('fleet')
    .describe('fleet: what all instances let through together. instance: each instance by itself.'),
});

type Rate = z.output<z.ZodObject<ReturnType<typeof rate>>>;

function checkRate({ limit, per }: Rate, context: Parameters<typeof refuse>[0]): void {
  if ((limit / per) * 1000 > MOST)
    refuse(context, 'more than 1,000,000 a second is no limit', 'lower `limit`, or leave it out altogether', ['limit']);
}

/** `rate_limit` of a consumer. */
export const rateLimit = z
  .strictObject(rate('`limit`'))
  .superRefine(checkRate)
  .optional()
  .describe(
    'Drops what comes faster (outcome `dropped`, reason `rate_limited`). Each event counts once; one that was at work when its process was killed comes again and counts again.',
  );

/** `throttle` of a consumer, or of a target. @param whose What is held back, for the reference. */
export const throttle = (whose: string) =>
  z
    .strictObject(rate('what comes in 10 ms at the limit, and at least 1'))
    .superRefine(checkRate)
    .optional()
    .describe(`Holds back ${whose} so that they are no faster than this. To wait is no attempt and no failure.`);

export type RateConfig = NonNullable<z.output<typeof rateLimit>>;
