import { z } from 'zod';
import { duration, expression } from '../fields.ts';
import { refuse } from '../refuse.ts';

/** `delay` of a consumer. */
export const delay = z
  .strictObject({
    for: duration().optional().describe('How long an event waits, counted from `from`.'),
    from: expression()
      .optional()
      .describe('The instant that `for` is counted from: a timestamp, or its text. Default: `event.time`.'),
    until: expression().optional().describe('The instant until which an event waits: a timestamp, or its text.'),
  })
  .superRefine((value, context) => {
    if ((value.for === undefined) === (value.until === undefined))
      refuse(context, 'a delay lasts for a time or until an instant', 'write {for: 30m} or {until: event.data.due}');
    else if (value.until !== undefined && value.from !== undefined)
      refuse(context, 'until and from cannot stand together', '`from` is where `for` begins: leave one out', ['from']);
  })
  .optional()
  .describe('Holds events back until an instant. They wait on the server, and hold no ack slot.');
