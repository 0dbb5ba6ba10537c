import { z } from 'zod';
import { eventPath, path, pathsOf } from '../../config/fields.ts';
import { toText, type Path } from '../../expression/index.ts';
import { definePipelineComponent } from '../component.ts';
import { EventEditor } from '../slots.ts';

/** Stands for what was masked. Its length is fixed, so that it does not tell the length of the value. */
const MASK = '****';

const masked = (value: unknown, last: number): string => {
  const characters = [...toText(value)];
  // A value that is hardly longer than what would be shown is masked whole.
  return last > 0 && characters.length >= 2 * last ? MASK + characters.slice(-last).join('') : MASK;
};

/** Replaces values by asterisks. */
export const mask = definePipelineComponent({
  name: 'mask',
  kind: 'transformer',
  summary: 'Replaces values by asterisks; of a long one the last characters may stay.',
  example: '{ data.card: 4, data.email: 0 }',
  options: z
    .union([z.array(path()).min(1), z.record(eventPath(), z.number().int().min(0).max(16))])
    .describe('Paths to mask, or path → how many of the last characters stay. One that is not there is no error.'),
  compile(options, context) {
    const fields: (readonly [Path, number])[] = Array.isArray(options)
      ? options.map((each) => [each, 0] as const)
      : pathsOf(options);
    return {
      name: context.name,
      run(run) {
        const editor = new EventEditor(run.event);
        for (const [each, last] of fields) {
          const { found, value } = editor.get(each);
          if (found && value !== null) editor.set(each, masked(value, last));
        }
        return undefined;
      },
    };
  },
});
