import { filters as components } from '../pipeline/filters/index.ts';
import { z } from 'zod';
import { named } from './fields.ts';
import { pluginFilter } from './plugins.ts';

const [expressionFilter] = components;

/** A named filter is the expression alone, or a plugin. */
export const filters = named(z.union([expressionFilter.options, pluginFilter()]))
  .prefault({})
  .describe(
    'Filters by name (`big: event.data.total > 1000`), for pipelines and for expressions (`filters.big`). They share their names with the transformers. A filter of a plugin (`{ plugin: NAME }`) can stand in pipelines only.',
  );
