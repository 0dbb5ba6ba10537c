/**
 * One configuration from several files: `conf.d/*.yaml` beside the main file, section by section. Each thing is said
 * once; what is said in two files is an error that names both places.
 */
import { formatPlace } from '../errors.ts';
import { type ConfigProblem, problemAt } from './problems.ts';
import { type SourceNode, spanOf } from './source.ts';

/** What one file says. */
export interface Part {
  readonly root: SourceNode;
  /** After substitution. */
  readonly value: unknown;
  /** The same with marks in place of secrets. */
  readonly source: unknown;
}

export interface Merged extends Part {
  readonly problems: readonly ConfigProblem[];
}

type Mapping = Record<string, unknown>;

const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The parts in order, as one. A part that is no mapping is left to the schema, unless it comes after the first. */
export function mergeParts([first, ...others]: readonly [Part, ...Part[]]): Merged {
  if (others.length === 0) return { ...first, problems: [] };
  const problems: ConfigProblem[] = [];
  const children = new Map(first.root.children);
  const value: Mapping = isMapping(first.value) ? { ...first.value } : {};
  const source: Mapping = isMapping(first.source) ? { ...first.source } : {};

  const clash = (node: SourceNode, other: SourceNode, path: string[]): void => {
    const [name] = path.slice(-1);
    const there = other.file.place((other.key ?? spanOf(other)).start);
    problems.push(
      problemAt(node.file, node.key ?? spanOf(node), {
        code: 'CONFIG_DUPLICATE_NAME',
        message:
          node.file.layer === other.file.layer
            ? `"${name ?? ''}" stands in two files`
            : `"${name ?? ''}" stands in the fleet's configuration and in the file's`,
        hint: `the other is ${formatPlace(there)}`,
        path,
      }),
    );
  };

  for (const part of others) {
    if (part.value === null || part.value === undefined) continue;
    if (!isMapping(part.value) || !isMapping(part.source)) {
      const problem = { code: 'CONFIG_INVALID_VALUE', message: 'a configuration is a mapping of sections' } as const;
      problems.push(problemAt(part.root.file, spanOf(part.root), problem));
      continue;
    }
    for (const [section, node] of part.root.children) {
      const known = children.get(section);
      const [theirs, ours] = [part.value[section], value[section]];
      // Each file may say for itself which version of the format it is written in.
      if (section === 'version' && ours !== undefined && theirs === ours) continue;
      if (known === undefined) {
        children.set(section, node);
        value[section] = theirs;
        source[section] = part.source[section];
      } else if (isMapping(ours) && isMapping(theirs)) {
        const merged = new Map(known.children);
        for (const [name, entry] of node.children) {
          const other = known.children.get(name);
          if (other === undefined) merged.set(name, entry);
          else clash(entry, other, [section, name]);
        }
        children.set(section, { ...known, children: merged });
        value[section] = { ...theirs, ...ours };
        source[section] = { ...asMapping(part.source[section]), ...asMapping(source[section]) };
      } else if (ours === null || ours === undefined) {
        children.set(section, node);
        value[section] = theirs;
        source[section] = part.source[section];
      } else if (theirs !== null) clash(node, known, [section]);
    }
  }
  return { root: { ...first.root, children }, value, source, problems };
}

const asMapping = (value: unknown): Mapping => (isMapping(value) ? value : {});
