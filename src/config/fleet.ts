/**
 * The fleet's layer of a configuration: entries that live in KV instead of a file. They may use what the file has; the
 * file may not use them, since a daemon starts on its file alone, whether or not NATS is there.
 */
import type { Config } from './schema.ts';
import { type ConfigProblem, problemAt } from './problems.ts';
import type { Part } from './merge.ts';
import { type ConfigPath, nodeAt, type SourceNode, spanInside, spanOf } from './source.ts';
import { eachExpression } from './walk.ts';
import type { YamlDocument } from './yaml.ts';

/** One entry of a section. */
export interface FleetText {
  readonly section: string;
  readonly name: string;
  /** YAML or JSON of the entry itself. */
  readonly text: string;
}

export interface FleetLayer {
  readonly resources: readonly FleetText[];
  /** Consumers that somebody paused at run time, the file's and the fleet's. */
  readonly paused: ReadonlySet<string>;
}

/** How places in a resource are shown: `fleet:consumers/billing`. */
export const fleetName = ({ section, name }: Pick<FleetText, 'section' | 'name'>): string => `fleet:${section}/${name}`;

/** What a resource says, as if it stood in a file under its section and name. */
export function wrapResource(yaml: YamlDocument, { section, name }: FleetText): YamlDocument {
  const { root, value } = yaml;
  return { ...yaml, value: { [section]: { [name]: value } }, root: within(within(root, name), section) };
}

const within = (child: SourceNode, key: string): SourceNode => ({
  file: child.file,
  key: undefined,
  span: child.span,
  token: undefined,
  children: new Map([[key, child]]),
});

type Mapping = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** All resources as one part, so that merging costs no more than for one file. */
export function fleetPart(parts: readonly Part[]): Part | undefined {
  const [first] = parts;
  if (first === undefined) return undefined;
  const sections = new Map<string, Map<string, SourceNode>>();
  const [value, source]: Record<string, Record<string, unknown>>[] = [{}, {}];
  for (const part of parts)
    for (const [section, node] of part.root.children) {
      const known = sections.get(section) ?? new Map<string, SourceNode>();
      for (const [name, entry] of node.children) known.set(name, entry);
      sections.set(section, known);
      Object.assign(((value ?? {})[section] ??= {}), (part.value as Mapping)[section]);
      Object.assign(((source ?? {})[section] ??= {}), (part.source as Mapping)[section]);
    }
  const children = new Map(
    [...sections].map(([section, entries]) => [section, { ...first.root, children: entries } satisfies SourceNode]),
  );
  return { root: { ...first.root, children }, value, source };
}

/** The values with the pauses of the fleet put in. */
export function withPauses(value: unknown, paused: ReadonlySet<string>): unknown {
  const { consumers } = (value ?? {}) as { consumers?: Mapping };
  if (paused.size === 0 || typeof consumers !== 'object' || consumers === null) return value;
  const entries = Object.entries(consumers).map(([name, entry]) => [
    name,
    paused.has(name) && typeof entry === 'object' && entry !== null ? { ...entry, paused: true } : entry,
  ]);
  return { ...(value as object), consumers: Object.fromEntries(entries) as Mapping };
}

/** Names of the fleet that entries of the file use. */
export function checkLayers(config: Config, root: SourceNode): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const isFleets = (section: string, name: string): boolean =>
    root.children.get(section)?.children.get(name)?.file.layer === 'fleet';
  const check = (path: ConfigPath, sections: readonly string[], name: string, at?: [number, number]): void => {
    const node = nodeAt(root, path);
    if (node === undefined || node.file.layer === 'fleet') return;
    const section = sections.find((each) => isFleets(each, name));
    if (section === undefined) return;
    const span = at === undefined ? spanOf(node) : spanInside(node, ...at);
    const message = `"${name}" is defined in the fleet's configuration (${fleetName({ section, name })}), not in the file's`;
    const hint = 'a daemon starts on its file alone: define it there too, or let the fleet have what uses it';
    problems.push(problemAt(node.file, span, { code: 'CONFIG_UNKNOWN_NAME', message, hint, path }));
  };
  if (
    ![...root.children.values()].some(({ children }) =>
      [...children.values()].some(({ file }) => file.layer === 'fleet'),
    )
  )
    return problems;
  for (const [name, { pipeline, deliver }] of Object.entries(config.consumers)) {
    for (const [index, stage] of pipeline.entries())
      if (typeof stage === 'string') check(['consumers', name, 'pipeline', index], ['filters', 'transformers'], stage);
    for (const [index, { to }] of (deliver ?? []).entries())
      if (typeof to === 'string') check(['consumers', name, 'deliver', index, 'to'], ['targets'], to);
  }
  eachExpression(config, (expression, path) => {
    for (const { name, offset, length } of expression.filterNames) check(path, ['filters'], name, [offset, length]);
  });
  return problems;
}
