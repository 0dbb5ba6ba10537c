/** What was filled in is text; where a number, true or false is wanted, it is one. */
import type { z } from 'zod';
import { expectation, schemaAt } from './introspect.ts';
import type { ConfigPath, SourceNode } from './source.ts';

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether something was filled in below a node. */
function holdsInsertion(node: SourceNode): boolean {
  if (node.insertions !== undefined) return true;
  for (const child of node.children.values()) if (holdsInsertion(child)) return true;
  return false;
}

/** A lone `${VAR}` where a number or true or false is wanted is one. */
export function fitScalars(value: unknown, root: SourceNode, schema: z.ZodType): unknown {
  const fit = (each: unknown, node: SourceNode, path: ConfigPath): unknown => {
    if (!holdsInsertion(node)) return each;
    if (typeof each === 'string') {
      const [insertion] = node.insertions ?? [];
      const lone =
        insertion !== undefined && insertion.raw.start === 0 && insertion.raw.end === node.token?.value.length;
      if (!lone || insertion.source === '$${') return each;
      const field = schemaAt(schema, path);
      const expected = field === undefined ? '' : expectation(field);
      if (/number|size/.test(expected) && /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(each.trim())) return Number(each);
      if (/^(?:true|false)$/.test(each.trim()) && expected.includes('true or false')) return each.trim() === 'true';
      return each;
    }
    if (Array.isArray(each))
      return each.map((item: unknown, index) => fit(item, node.children.get(String(index)) ?? node, [...path, index]));
    if (!isMapping(each)) return each;
    return Object.fromEntries(
      Object.entries(each).map(([key, item]) => [key, fit(item, node.children.get(key) ?? node, [...path, key])]),
    );
  };
  return fit(value, root, []);
}
