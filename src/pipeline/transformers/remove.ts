import { z } from 'zod';
import { path } from '../../config/fields.ts';
import { definePipelineComponent } from '../component.ts';
import { EventEditor } from '../slots.ts';

/** Takes fields away; what is not there already is. */
export const remove = definePipelineComponent({
  name: 'remove',
  kind: 'transformer',
  summary: 'Takes fields away.',
  example: '[data.card, data.internal.notes]',
  options: z.array(path()).min(1).describe('Paths of the fields to take away. One that is not there is no error.'),
  compile(paths, context) {
    return {
      name: context.name,
      run(run) {
        const editor = new EventEditor(run.event);
        for (const each of paths) editor.remove(each);
        return undefined;
      },
    };
  },
});
