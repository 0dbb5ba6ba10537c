import { z } from 'zod';
import { eventPath, pathsOf, type ValueTree, valueTree } from '../../config/fields.ts';
import type { Event } from '../../core/event.ts';
import { Expression, Fault, type Scope, toJson } from '../../expression/index.ts';
import { definePipelineComponent, type StageContext } from '../component.ts';
import { faultError } from '../faults.ts';
import { EventEditor } from '../slots.ts';

/** What a `set` entry evaluates to; undefined (an empty optional) writes nothing. */
type Value = (scope: Scope) => unknown;

/** What writing fields needs of the plan that it is part of. */
type SetContext = Pick<StageContext, 'bind' | 'missing'>;

function compileValue(tree: ValueTree, context: SetContext): Value {
  if (tree instanceof Expression) {
    const evaluate = context.bind(tree);
    return (scope) => {
      const value = evaluate(scope);
      if (!(value instanceof Fault)) return toJson(value);
      if (value.kind === 'missing_field') context.missing(value.path ?? tree.source);
      throw faultError(value, tree);
    };
  }
  if (Array.isArray(tree)) {
    const items = (tree as readonly ValueTree[]).map((item) => compileValue(item, context));
    return (scope) => items.map((item) => item(scope)).filter((value) => value !== undefined);
  }
  if (typeof tree === 'object' && tree !== null) {
    const entries = Object.entries(tree).map(([key, item]) => [key, compileValue(item, context)] as const);
    return (scope) =>
      Object.fromEntries(
        entries.map(([key, item]) => [key, item(scope)] as const).filter(([, value]) => value !== undefined),
      );
  }
  return () => tree;
}

const options = z
  .record(eventPath(), valueTree())
  .describe('Path → expression. An empty optional (`event.data.?phone`) writes nothing.');

/** Writes into an event what the expressions say of the event as it was before. @throws OuzelError EVENT_* */
export type SetFields = (scope: Scope, event: Event) => void;

/** Compiles the fields of a `set`; what mends a dead letter is one as well. */
export function compileSet(fields: z.output<typeof options>, context: SetContext): SetFields {
  const entries = pathsOf(fields).map(([path, tree]) => ({ path, value: compileValue(tree, context) }));
  return (scope, event) => {
    const values = entries.map(({ value }) => value(scope));
    const editor = new EventEditor(event);
    entries.forEach(({ path }, index) => {
      if (values[index] !== undefined) editor.set(path, values[index]);
    });
  };
}

/** Writes fields. Every expression sees the event as it was before this `set`. */
export const set = definePipelineComponent({
  name: 'set',
  kind: 'transformer',
  summary: 'Writes fields of the data, attributes or extensions; every string is an expression.',
  example: '{ data.vat: event.data.total * 0.2, data.kind: "\'order\'" }',
  options,
  compile(fields, context) {
    const write = compileSet(fields, context);
    return {
      name: context.name,
      run(run) {
        write(run, run.event);
        return undefined;
      },
    };
  },
});
