import { z } from 'zod';
import { name, subject } from '../fields.ts';

const lane = z.strictObject({
  name: name().describe('Name of the lane. Its durable is `<consumer>-<lane>`.'),
  subjects: z
    .array(subject())
    .min(1)
    .optional()
    .describe('Subjects that go by this lane. The one lane without takes the rest, by the durable of the consumer.'),
  weight: z
    .number()
    .int()
    .min(1)
    .max(1000)
    .default(1)
    .describe('Its share, against those of the others, of what is in hand and of what is let in.'),
});

/** `lanes` of a consumer. */
export const lanes = z
  .array(lane)
  .min(1)
  .max(16)
  .optional()
  .describe(
    'Parts of the events that come by a durable of their own each, so that a deep backlog of one does not hold up another. What is in no lane goes by a lane of its own (`rest`).',
  );
