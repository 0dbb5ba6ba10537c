import { z } from 'zod';
import { eventPath, pathsOf, type ValueTree, valueTree } from '../../config/fields.ts';
import type { Run } from '../../core/run.ts';
import { Expression, Fault, toJson } from '../../expression/index.ts';
import { definePipelineComponent, type StageContext } from '../component.ts';
import { faultError } from '../faults.ts';
import { EventEditor } from '../slots.ts';

/** What a `set` entry evaluates to; undefined (an empty optional) writes nothing. */
type Value = (run: Run) => unknown;

function compileValue(tree: ValueTree, context: StageContext): Value {
  if (tree instanceof Expression) {
    const evaluate = context.bind(tree);
    return (run) => {
      const value = evaluate(run);
      if (!(value instanceof Fault)) return toJson(value);
      if (value.kind === 'missing_field') context.missing(value.path ?? tree.source);
      throw faultError(value, tree);
    };
  }
  if (Array.isArray(tree)) {
    const items = (tree as readonly ValueTree[]).map((item) => compileValue(item, context));
    return (run) => items.map((item) => item(run)).filter((value) => value !== undefined);
  }
  if (typeof tree === 'object' && tree !== null) {
    const entries = Object.entries(tree).map(([key, item]) => [key, compileValue(item, context)] as const);
    return (run) =>
      Object.fromEntries(
        entries.map(([key, item]) => [key, item(run)] as const).filter(([, value]) => value !== undefined),
      );
  }
  return () => tree;
}

/** Writes fields. Every expression sees the event as it was before this `set`. */
export const set = definePipelineComponent({
  name: 'set',
  kind: 'transformer',
  summary: 'Writes fields of the data, attributes or extensions; every string is an expression.',
  example: '{ data.vat: event.data.total * 0.2, data.kind: "\'order\'" }',
  options: z
    .record(eventPath(), valueTree())
    .describe('Path → expression. An empty optional (`event.data.?phone`) writes nothing.'),
  compile(options, context) {
    const entries = pathsOf(options).map(([path, tree]) => ({ path, value: compileValue(tree, context) }));
    return {
      name: context.name,
      run(run) {
        const values = entries.map(({ value }) => value(run));
        const editor = new EventEditor(run.event);
        entries.forEach(({ path }, index) => {
          if (values[index] !== undefined) editor.set(path, values[index]);
        });
        return undefined;
      },
    };
  },
});
