import { z } from 'zod';
import { path } from '../../config/fields.ts';
import { definePipelineComponent } from '../component.ts';
import { EventEditor } from '../slots.ts';

/** Reduces the data to the fields named. */
export const keep = definePipelineComponent({
  name: 'keep',
  kind: 'transformer',
  summary: 'Keeps the named fields of the data and takes all others away.',
  example: '[data.id, data.total, data.customer.name]',
  options: z
    .array(path().refine(({ segments }) => segments[0] === 'data', { error: 'keep names fields of the data: data.…' }))
    .min(1)
    .describe('Paths of the fields to keep. One that is not there is no error.'),
  compile(paths, context) {
    return {
      name: context.name,
      run(run) {
        const kept = paths.map((each) => ({ path: each, ...new EventEditor(run.event).get(each) }));
        run.event.replaceData({});
        const editor = new EventEditor(run.event);
        for (const { path: each, found, value } of kept) if (found) editor.set(each, value);
        return undefined;
      },
    };
  },
});
