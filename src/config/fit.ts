/** What was filled in is text; where a number, true or false is wanted, it is one. */
import type { z } from 'zod';
import { mapItems } from './copy.ts';
import { expectation, schemaAt } from './introspect.ts';
import type { ConfigPath, SourceNode } from './source.ts';

/**
 * A lone `${VAR}` where a number or true or false is wanted is one. Parts in which there is none are the same objects in
 * the result.
 */
export function fitScalars(value: unknown, root: SourceNode, schema: z.ZodType): unknown {
  const path: (string | number)[] = [];
  const fit = (each: unknown, node: SourceNode | undefined): unknown => {
    if (typeof each === 'string') return node?.insertions === undefined ? each : fitText(each, node, schema, path);
    if (typeof each !== 'object' || each === null || node === undefined || node.children.size === 0) return each;
    const list = Array.isArray(each);
    return mapItems(each, (item, key) => {
      path.push(list ? Number(key) : key);
      const fitted = fit(item, node.children.get(key));
      path.pop();
      return fitted;
    });
  };
  return fit(value, root);
}

function fitText(text: string, { insertions = [], token }: SourceNode, schema: z.ZodType, path: ConfigPath): unknown {
  const [insertion] = insertions;
  const lone = insertion !== undefined && insertion.raw.start === 0 && insertion.raw.end === token?.value.length;
  if (!lone || insertion.source === '$${') return text;
  const field = schemaAt(schema, path);
  const expected = field === undefined ? '' : expectation(field);
  if (/number|size/.test(expected) && /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text.trim())) return Number(text);
  if (/^(?:true|false)$/.test(text.trim()) && expected.includes('true or false')) return text.trim() === 'true';
  return text;
}
