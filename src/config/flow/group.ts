import { z } from 'zod';
import { duration, expression, size } from '../fields.ts';

/** `group` of a consumer. */
export const group = z
  .strictObject({
    by: expression()
      .optional()
      .describe(
        'What the events of a batch have in common. A missing field counts as one value. Default: all go together.',
      ),
    max: z
      .number()
      .int()
      .min(1)
      .max(10_000)
      .default(100)
      .describe('Events of a batch, at most: it is delivered as soon as it has so many.'),
    max_bytes: size()
      .default(1_048_576)
      .describe('Bytes of its events as they came, at most. An event that is larger by itself is a batch of its own.'),
    within: duration({ min: 1, max: 3_600_000 })
      .default(1000)
      .describe('How long the first event of a batch waits for others, at most.'),
    bisect: z
      .boolean()
      .default(true)
      .describe('Whether a batch that a target rejects is halved until the event is alone that it is rejected for.'),
  })
  .optional()
  .describe(
    'Collects events, which are delivered as one batch. They stay in hand meanwhile. Behind it, `when` and targets see `events` and `key` in place of `event`.',
  );

export type GroupConfig = NonNullable<z.output<typeof group>>;
