import { z } from 'zod';
import { duration, expression, literal, named, size, subject } from './fields.ts';

const stream = z.strictObject({
  subjects: z.array(subject()).min(1).describe('Subjects that the stream keeps.'),
  strip: literal()
    .optional()
    .describe('Prefix of the subject that is left out of the type: with `events.`, `events.a.b` is of type `a.b`.'),
  source: expression().optional().describe('The source of plain events. Default: `nats:` and the name of the stream.'),
  key: expression().optional().describe('What a person searches events by, for example `event.data.id`.'),
  storage: z.enum(['file', 'memory']).default('file').describe('Where the server keeps it.'),
  replicas: z.number().int().min(1).max(5).default(1).describe('Copies in a cluster.'),
  max_age: duration({ min: 100, max: 36_600 * 86_400_000 })
    .optional()
    .describe('Messages older than this are removed.'),
  max_bytes: size().optional().describe('The oldest messages are removed beyond this size.'),
  max_msgs: z.number().int().min(1).optional().describe('The oldest messages are removed beyond this number.'),
  duplicate_window: duration({ min: 100 })
    .optional()
    .describe('How long the server remembers message ids. Its default: 2m.'),
  discard: z.enum(['old', 'new']).default('old').describe('At a limit: remove the oldest, or refuse the newest.'),
  manage: z
    .boolean()
    .default(false)
    .describe('Whether a stream that exists is changed to what is written here. One that does not is always made.'),
});

export const streams = named(stream)
  .prefault({})
  .describe('Streams: made when absent, and what their events are called.');
