import { z } from 'zod';
import { duration, expression } from './fields.ts';

const attempts = z.number().int().min(1).max(1000);
const first = duration({ max: 86_400_000 });
const factor = z.number().min(1).max(100);
const longest = duration({ max: 86_400_000 });
const jitter = z.number().min(0).max(1);

const giveUp = expression('error')
  .optional()
  .describe(
    'Ends the attempts at once where it is true. In scope besides the event: `error.code, message, kind, status`.',
  );

const TEXT = {
  attempts: 'Attempts in all, the first included. Only an event that a target refuses uses them up.',
  backoff: 'How the delay between attempts grows.',
  first: 'Delay before the second attempt.',
  factor: 'By how much each delay is longer than the one before.',
  max: 'The longest delay.',
  jitter: 'Share of a delay by which it varies at random, 0 to 1.',
  for: 'How long a target may be unavailable, from the first failure, before its events become dead letters.',
};

/** All of a retry policy, with its defaults. */
const retry = z.strictObject({
  attempts: attempts.default(5).describe(TEXT.attempts),
  backoff: z
    .strictObject({
      first: first.default(1000).describe(TEXT.first),
      factor: factor.default(2).describe(TEXT.factor),
      max: longest.default(300_000).describe(TEXT.max),
      jitter: jitter.default(0.2).describe(TEXT.jitter),
    })
    .prefault({})
    .describe(TEXT.backoff),
  for: duration().default(86_400_000).describe(TEXT.for),
  give_up: giveUp,
});

/** The parts of a retry policy that a consumer or target wants otherwise. */
export const retryOverride = () =>
  z
    .strictObject({
      attempts: attempts.optional().describe(TEXT.attempts),
      backoff: z
        .strictObject({
          first: first.optional().describe(TEXT.first),
          factor: factor.optional().describe(TEXT.factor),
          max: longest.optional().describe(TEXT.max),
          jitter: jitter.optional().describe(TEXT.jitter),
        })
        .optional()
        .describe(TEXT.backoff),
      for: duration().optional().describe(TEXT.for),
      give_up: giveUp,
    })
    .optional();

export const defaults = z
  .strictObject({
    timeout: duration()
      .default(30_000)
      .describe('How long one attempt at an event may take, all its deliveries included.'),
    retry: retry.prefault({}).describe('What happens when an event fails.'),
  })
  .prefault({})
  .describe('What consumers and targets take where they say nothing else.');

export type RetryOverride = NonNullable<z.output<ReturnType<typeof retryOverride>>>;
