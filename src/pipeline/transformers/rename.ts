import { z } from 'zod';
import { eventPath, path, pathsOf } from '../../config/fields.ts';
import { definePipelineComponent } from '../component.ts';
import { EventEditor, inRemovalOrder } from '../slots.ts';

/** Moves fields to another path, all at once: two can change places. A field that is not there is left alone. */
export const rename = definePipelineComponent({
  name: 'rename',
  kind: 'transformer',
  summary: 'Moves fields to another path.',
  example: '{ data.cust: data.customer }',
  options: z.record(eventPath(), path()).describe('Old path → new path. What is at the new path is replaced.'),
  compile(options, context) {
    const moves = pathsOf(options);
    const froms = inRemovalOrder(moves.map(([from]) => from));
    return {
      name: context.name,
      run(run) {
        const editor = new EventEditor(run.event);
        const moved = moves.map(([from, to]) => ({ from, to, ...editor.get(from) })).filter(({ found }) => found);
        const taken = new Set(moved.map(({ from }) => from));
        for (const from of froms) if (taken.has(from)) editor.remove(from);
        for (const { to, value } of moved) editor.set(to, value);
        return undefined;
      },
    };
  },
});
