import { z } from 'zod';
import { eventPath, path, pathsOf } from '../../config/fields.ts';
import { definePipelineComponent } from '../component.ts';
import { EventEditor } from '../slots.ts';

/** Moves fields to another path; a field that is not there is left alone. */
export const rename = definePipelineComponent({
  name: 'rename',
  kind: 'transformer',
  summary: 'Moves fields to another path.',
  example: '{ data.cust: data.customer }',
  options: z.record(eventPath(), path()).describe('Old path → new path. What is at the new path is replaced.'),
  compile(options, context) {
    const moves = pathsOf(options);
    return {
      name: context.name,
      run(run) {
        const editor = new EventEditor(run.event);
        for (const [from, to] of moves) {
          const { found, value } = editor.get(from);
          if (!found) continue;
          editor.remove(from);
          editor.set(to, value);
        }
        return undefined;
      },
    };
  },
});
