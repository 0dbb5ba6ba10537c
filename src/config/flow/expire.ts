import { z } from 'zod';
import { duration, expression } from '../fields.ts';

/** `expire` of a consumer. */
export const expire = z
  .strictObject({
    after: duration().describe('The age from which an event is of no use any more.'),
    from: expression()
      .optional()
      .describe('The instant that the age is counted from: a timestamp, or its text. Default: `event.time`.'),
  })
  .optional()
  .describe('Drops events that come too late (outcome `dropped`, reason `expired`). Re-drives and replays are exempt.');
