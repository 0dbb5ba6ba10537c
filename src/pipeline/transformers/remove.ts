import { z } from 'zod';
import { path } from '../../config/fields.ts';
import { definePipelineComponent } from '../component.ts';
import { EventEditor, inRemovalOrder } from '../slots.ts';

/** Takes fields away; what is not there already is. */
export const remove = definePipelineComponent({
  name: 'remove',
  kind: 'transformer',
  summary: 'Takes fields away.',
  example: '[data.card, data.internal.notes]',
  options: z
    .array(
      path().refine(({ segments }) => segments[0] !== 'type' && segments[0] !== 'source', {
        error: 'type and source cannot be taken away: every event has them',
      }),
    )
    .min(1)
    .describe('Paths of the fields to take away. One that is not there is no error.'),
  compile(paths, context) {
    const ordered = inRemovalOrder(paths);
    return {
      name: context.name,
      run(run) {
        const editor = new EventEditor(run.event);
        for (const each of ordered) editor.remove(each);
        return undefined;
      },
    };
  },
});
