import { z } from 'zod';
import { publishOptions } from '../sources/publish.ts';
import { sources as components } from '../sources/index.ts';
import { optionalShape, present } from './components.ts';
import { named } from './fields.ts';

const source = z
  .strictObject({
    ...optionalShape(components),
    publish: publishOptions.describe('What becomes of it: a message in a stream.'),
  })
  .superRefine((value, context) => {
    present(value, context, components, 'exactly one');
  });

export const sources = named(source)
  .prefault({})
  .describe('Sources by name: what turns something else into events in a stream.');

export type SourceConfig = z.output<typeof source>;
