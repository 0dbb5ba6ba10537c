/** JSON Merge Patch (RFC 7396) on the text of an entry: what the patch does not name stays as it is written. */
import { stringifyJson } from '../core/json.ts';
import { type Document, isAlias, isMap, parseDocument, visit } from 'yaml';

type Path = readonly string[];

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * @param text YAML or JSON.
 * @returns The text with the patch applied; comments stay.
 */
export function mergePatch(text: string, patch: unknown): string {
  if (!isObject(patch)) return stringifyJson(patch);
  let document: Document = parseDocument(text, { version: '1.2', resolveKnownTags: false, uniqueKeys: false });
  // What stands in an alias would change wherever it is used.
  if (hasAliases(document)) document = newDocument(document.toJS());
  if (!isMap(document.contents)) return stringifyJson(withoutNulls(patch));
  apply(document, [], patch);
  return document.toString({ lineWidth: 0 });
}

const newDocument = (value: unknown): Document => parseDocument(stringifyJson(value));

function hasAliases(document: Document): boolean {
  let found = false;
  visit(document, (_key, node) => {
    if (!isAlias(node)) return undefined;
    found = true;
    return visit.BREAK;
  });
  return found;
}

function apply(document: Document, path: Path, patch: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(patch)) {
    const at = [...path, key];
    if (value === null) document.deleteIn(at);
    else if (isObject(value) && isMap(document.getIn(at))) apply(document, at, value);
    else document.setIn(at, document.createNode(isObject(value) ? withoutNulls(value) : value));
  }
}

/** The patch alone: its nulls name what is not there. */
function withoutNulls(patch: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(patch)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => [key, isObject(value) ? withoutNulls(value) : value]),
  );
}
