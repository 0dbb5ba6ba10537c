import { filters as components } from '../pipeline/filters/index.ts';
import { named } from './fields.ts';

const [expressionFilter] = components;

/** A named filter is the expression alone. */
export const filters = named(expressionFilter.options)
  .prefault({})
  .describe(
    'Filters by name (`big: event.data.total > 1000`), for pipelines and for expressions (`filters.big`). They share their names with the transformers.',
  );
