/** Where a configuration names plugins, and whether it names them rightly. */
import { z } from 'zod';
import { readFileSync } from 'node:fs';
import { formatPlace } from '../errors.ts';
import { Expression } from '../expression/index.ts';
import { isTarget, type PluginKind } from '../plugins/define.ts';
import type { LoadedPlugin, PluginFailure, PluginLoad } from '../plugins/load.ts';
import { fitScalars } from './fit.ts';
import { problemsOfAll } from './issues.ts';
import { isolationOf, type IsolationLimits } from './plugins.ts';
import { type ConfigProblem, problemAt } from './problems.ts';
import type { Config } from './schema.ts';
import { type ConfigPath, nearestNode, nodeAt, SourceFile, type SourceNode, spanOf } from './source.ts';
import { suggestion } from './suggest.ts';

export interface PluginUse {
  readonly plugin: string;
  readonly options: unknown;
  readonly isolated: boolean;
  /** Where it stands. */
  readonly path: ConfigPath;
  /** What may stand there. */
  readonly kinds: readonly PluginKind[];
  /** The entry of the configuration. */
  readonly entry: Entry;
  /** A consumer with a `group` that delivers to it. */
  readonly grouped: string | undefined;
}

interface Entry {
  readonly plugin?: string | undefined;
  readonly isolate?: boolean | IsolationLimits | undefined;
  options?: unknown;
}

/** Every place of a configuration where a plugin is named, in the order of the sections. */
export function pluginUses(config: Config, consumer?: string): PluginUse[] {
  const uses: PluginUse[] = [];
  const add = (entry: Entry | string | Expression, path: ConfigPath, ...kinds: PluginKind[]): void => {
    const grouped = kinds.includes('target') ? grouperOf(config, entry, path) : undefined;
    if (typeof entry === 'string' || entry instanceof Expression || entry.plugin === undefined) return;
    const { plugin, options = {}, isolate } = entry;
    uses.push({ plugin, options, isolated: isolationOf(isolate) !== undefined, path, kinds, entry, grouped });
  };
  const only = consumer === undefined ? undefined : namesIn(config, consumer);
  const section = <T extends Entry | Expression>(
    key: string,
    entries: Readonly<Record<string, T>>,
    kind: PluginKind,
  ): void => {
    for (const each of only ?? Object.keys(entries)) {
      const entry = Object.hasOwn(entries, each) ? entries[each] : undefined;
      if (entry !== undefined) add(entry, [key, each], kind);
    }
  };
  section('filters', config.filters, 'filter');
  section('transformers', config.transformers, 'transformer');
  section('targets', config.targets, 'target');
  for (const each of consumer === undefined ? Object.keys(config.consumers) : [consumer]) {
    const { pipeline = [], deliver = [] } = config.consumers[each] ?? {};
    pipeline.forEach((stage, index) => add(stage, ['consumers', each, 'pipeline', index], 'filter', 'transformer'));
    deliver.forEach(({ to }, index) => add(to, ['consumers', each, 'deliver', index, 'to'], 'target'));
  }
  return uses;
}

/** A consumer that delivers batches to a target, by its name or written where it is used. */
const grouperOf = (config: Config, entry: unknown, path: ConfigPath): string | undefined =>
  Object.entries(config.consumers).find(
    ([, { group, deliver = [] }]) =>
      group !== undefined && deliver.some(({ to }) => to === entry || (path[0] === 'targets' && to === path[1])),
  )?.[0];

/** What a consumer names in its pipeline and its routes. */
function namesIn(config: Config, consumer: string): ReadonlySet<string> {
  const { pipeline = [], deliver = [] } = config.consumers[consumer] ?? {};
  const names = [...pipeline, ...deliver.map(({ to }) => to)];
  return new Set(names.filter((each) => typeof each === 'string'));
}

const HOME: Readonly<Record<PluginKind, string>> = {
  filter: 'it goes under filters, or into a pipeline',
  transformer: 'it goes under transformers, or into a pipeline',
  target: 'it goes under targets, or under deliver, as {to: {plugin: …}}',
};

export interface PluginCheck {
  readonly root: SourceNode;
  readonly load: PluginLoad;
  /** How a path is shown. */
  readonly show: (path: string) => string;
  /** The folder of the plugins. */
  readonly folder: string;
}

/** All that is wrong with the plugins of a configuration: those that cannot be loaded, and how the others are used. */
export async function checkPlugins(uses: readonly PluginUse[], check: PluginCheck): Promise<ConfigProblem[]> {
  const { load } = check;
  const failures = load.failures.map((failure) => {
    const [use] = uses.filter(({ plugin }) => plugin === failure.name);
    return failureProblem(failure, check, use);
  });
  const failed = new Set(load.failures.map(({ name }) => name));
  const wrong: ConfigProblem[] = [];
  for (const use of uses) {
    if (failed.has(use.plugin)) continue;
    const loaded = load.plugins.get(use.plugin);
    wrong.push(...(loaded === undefined ? [unknownPlugin(use, check)] : await useProblems(use, loaded, check)));
  }
  return [...failures, ...wrong];
}

/** In the plugin's own file, with a word on who wants it. */
function failureProblem(
  { message, hint, spot }: PluginFailure,
  { show, root }: PluginCheck,
  use: PluginUse | undefined,
): ConfigProblem {
  const file = new SourceFile(show(spot.file), textOf(spot.file));
  const { start, end } = file.line(spot.line);
  const from = Math.min(start + spot.column - 1, end);
  const node = use === undefined ? undefined : nearestNode(root, [...use.path, 'plugin']);
  const wanted = node === undefined ? undefined : `named at ${formatPlace(node.file.place(spanOf(node).start))}`;
  return problemAt(
    file,
    { start: from, end: Math.min(from + spot.width, Math.max(end, from + 1)) },
    { code: 'CONFIG_PLUGIN', message, hint: hint ?? wanted, ...(use === undefined ? {} : { path: use.path }) },
  );
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function unknownPlugin({ plugin, path }: PluginUse, { root, load, show, folder }: PluginCheck): ConfigProblem {
  const node = nearestNode(root, [...path, 'plugin']);
  const { available } = load;
  const message =
    available === undefined
      ? `there is no plugin "${plugin}": the folder ${show(folder)} is not there`
      : `there is no plugin "${plugin}" in ${show(folder)}`;
  const hint =
    available === undefined
      ? '`plugins.dir` names the folder'
      : suggestion(plugin, available, 'the folder has no plugins: a plugin is a file NAME.ts or NAME.js in it');
  return problemAt(node.file, spanOf(node), { code: 'CONFIG_UNKNOWN_NAME', message, hint, path: [...path, 'plugin'] });
}

async function useProblems(
  use: PluginUse,
  loaded: LoadedPlugin,
  { root }: PluginCheck,
): Promise<readonly ConfigProblem[]> {
  const { plugin, path, kinds, entry, grouped } = use;
  const { kind } = loaded;
  if (!kinds.includes(kind)) {
    const node = nearestNode(root, [...path, 'plugin']);
    const message = `"${plugin}" is a ${kind}, not a ${kinds.join(' or ')}`;
    return [
      problemAt(node.file, spanOf(node), {
        code: 'CONFIG_INVALID_VALUE',
        message,
        hint: HOME[kind],
        path: [...path, 'plugin'],
      }),
    ];
  }
  if (grouped !== undefined && !takesBatches(use, loaded)) {
    const node = nearestNode(root, [...path, 'plugin']);
    const message = `"${plugin}" takes one event at a time${use.isolated ? ', since it is isolated' : ''}, and consumer ${grouped} has a \`group\``;
    const hint = 'a plugin that takes batches says so: defineTarget({ batches: true, … })';
    return [
      problemAt(node.file, spanOf(node), {
        code: 'CONFIG_INVALID_VALUE',
        message,
        hint,
        path: [...path, 'plugin'],
      }),
    ];
  }
  const at: ConfigPath = [...path, 'options'];
  const node = nodeAt(root, at);
  const options = node === undefined ? use.options : fitScalars(use.options, node, loaded.options);
  entry.options = options;
  const found = await issuesOf(use, loaded, options);
  if (typeof found === 'string') {
    const near = nearestNode(root, at);
    const message = `plugin ${plugin} cannot check its options: ${found}`;
    return [problemAt(near.file, spanOf(near), { code: 'CONFIG_PLUGIN', message, path: at })];
  }
  const issues = found.map((issue) => ({ ...issue, path: [...at, ...issue.path] }));
  return problemsOfAll(issues, { schema: schemaBelow(at, loaded.options), value: valueBelow(at, options), root });
}

const takesBatches = ({ isolated }: PluginUse, { definition }: LoadedPlugin): boolean =>
  !isolated && definition !== undefined && isTarget(definition) && definition.batches;

/** What is wrong with options, by the plugin itself, where it runs; a text where it could not say. */
async function issuesOf(
  { isolated }: PluginUse,
  loaded: LoadedPlugin,
  options: unknown,
): Promise<readonly z.core.$ZodIssue[] | string> {
  try {
    if (isolated && loaded.isolated !== undefined)
      return (await loaded.isolated.check(options)) as readonly z.core.$ZodIssue[] | string;
    return loaded.options.safeParse(options).error?.issues ?? [];
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** A schema in which another one stands at a path, so that what is said of it has its place. */
const schemaBelow = (path: ConfigPath, schema: z.ZodType): z.ZodType =>
  path.reduceRight<z.ZodType>(
    (inner, segment) => (typeof segment === 'number' ? z.array(inner) : z.object({ [segment]: inner })),
    schema,
  );

const valueBelow = (path: ConfigPath, value: unknown): unknown =>
  path.reduceRight<unknown>((inner, segment) => ({ [segment]: inner }), value);
