import { z } from 'zod';
import { duration, expression } from '../fields.ts';
import { refuse } from '../refuse.ts';

/** `debounce` of a consumer. */
export const debounce = z
  .strictObject({
    by: expression()
      .optional()
      .describe(
        'What belongs together: of the events with the same value the newest counts. Those without the field share one. Default: all events of the consumer.',
      ),
    quiet: duration().describe('How long no newer event may come before the newest goes on.'),
    at_most: duration()
      .optional()
      .describe('When the newest goes on at the latest, counted from the first that waited. Default: no bound.'),
  })
  .superRefine((value, context) => {
    if (value.at_most !== undefined && value.at_most < value.quiet)
      refuse(context, 'at_most is shorter than quiet', 'an event waits for `quiet`, and in all for `at_most`', [
        'at_most',
      ]);
  })
  .optional()
  .describe(
    'Holds events back until none with the same key has come for a while; the newest by the order of the stream goes on, the others are dropped (reason `superseded`). They wait on the server. Re-drives pass; each replay has keys of its own.',
  );
