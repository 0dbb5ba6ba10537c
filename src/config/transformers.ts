import { z } from 'zod';
import { transformers as components } from '../pipeline/transformers/index.ts';
import { named } from './fields.ts';
import { optionalShape, present } from './components.ts';
import { alone, PLUGIN_KEY, pluginShape } from './plugins.ts';

/** One or more of the transformers' keys; they apply in the order of `pipeline/transformers/index.ts`. */
export const transformerShape = { ...optionalShape(components), ...pluginShape };

const transformer = z.strictObject(transformerShape).superRefine((value, context) => {
  present(value, context, [...components, PLUGIN_KEY], 'at least one');
  alone(
    value,
    context,
    components.map(({ name }) => name),
  );
});

export const transformers = named(transformer)
  .prefault({})
  .describe(
    'Transformers by name, for pipelines. One may have several of the keys; they apply in the order of this page.',
  );
