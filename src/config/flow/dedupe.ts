import { z } from 'zod';
import { duration, expression } from '../fields.ts';

/** `dedupe` of a consumer. */
export const dedupe = z
  .strictObject({
    by: expression()
      .optional()
      .describe(
        'What makes an event a repeat of another. Default: `event.source` and `event.id` together. An event without the field is none.',
      ),
    within: duration({ min: 1000 }).describe('How long the first is remembered.'),
  })
  .optional()
  .describe(
    'Drops repeats (outcome `dropped`, reason `duplicate`), over all instances. An event that comes again itself is no repeat. Re-drives and replays are exempt.',
  );
