/** What a consumer is made of, as a hash: its own entry and every named thing that it uses, and nothing else. */
import { createHash } from 'node:crypto';
import { pluginUses } from '../config/plugin-uses.ts';
import { schemaRevisions } from '../config/event-schemas.ts';
import { tableRevisions } from '../config/lookups.ts';
import type { Config } from '../config/schema.ts';
import { expressionsIn } from '../config/walk.ts';
import type { Schemas } from '../contracts/validate.ts';
import type { Tables } from '../lookup/tables/table.ts';
import type { LoadedPlugin } from '../plugins/load.ts';
import { typesOf } from './types.ts';

type Source = Readonly<Record<string, unknown>>;
type Named = Readonly<Record<string, unknown>>;

/** Adds the names of filters in all expressions of an entry. */
function filterNames(entry: unknown, found: Set<string>): Set<string> {
  for (const { expression } of expressionsIn(entry)) for (const { name } of expression.filterNames) found.add(name);
  return found;
}

/** Entries that several consumers use are written once. */
const written = new WeakMap<object, string>();

/** JSON with sorted keys: the order in which a mapping was written is no change. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const known = written.get(value);
  if (known !== undefined) return known;
  const entries = Object.entries(value);
  const text = Array.isArray(value)
    ? `[${value.map(canonical).join(',')}]`
    : `{${entries
        .toSorted(([left], [right]) => (left < right ? -1 : 1))
        .map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`)
        .join(',')}}`;
  written.set(value, text);
  return text;
}

/** The named entries of a section, as text. */
const pick = (section: unknown, names: Iterable<string>): string => {
  const all = (section ?? {}) as Named;
  return [...names]
    .toSorted((left, right) => (left < right ? -1 : 1))
    .map((name) => `${JSON.stringify(name)}:${canonical(all[name])}`)
    .join(',');
};

/** Everything of the configuration that one consumer depends on. */
function dependencies(
  config: Config,
  name: string,
): { pipeline: Set<string>; targets: Set<string>; filters: Set<string>; types: readonly string[] } {
  const consumer = config.consumers[name];
  const pipeline = new Set(consumer?.pipeline.filter((stage) => typeof stage === 'string'));
  const targets = new Set((consumer?.deliver ?? []).map(({ to }) => to).filter((to) => typeof to === 'string'));
  const filters = filterNames(consumer, new Set());
  filterNames(config.streams[consumer?.stream ?? ''], filters);
  filterNames(config.defaults, filters);
  for (const each of pipeline) {
    if (config.filters[each] !== undefined) filters.add(each);
    filterNames(config.transformers[each], filters);
  }
  for (const each of targets) filterNames(config.targets[each], filters);
  const types = typesOf(config, name).map(([type]) => type);
  for (const each of types) filterNames(config.types[each], filters);
  // Filters may use filters; a set that grows while it is walked visits what was added.
  for (const each of filters) filterNames(config.filters[each], filters);
  return { pipeline, targets, filters, types };
}

/**
 * The revision of a consumer: changes exactly when something changes that the consumer is made of.
 *
 * @param source The configuration as parsed, before validation.
 * @param plugins What the plugins of the configuration are made of counts too.
 * @param tables So does what stands in the tables that it looks something up in.
 * @param schemas And what the schemas say of the types that it may get.
 */
export function consumerRevision(
  source: Source,
  config: Config,
  name: string,
  plugins: ReadonlyMap<string, LoadedPlugin> = new Map(),
  tables: Tables = new Map(),
  schemas: Schemas = new Map(),
): string {
  const { pipeline, targets, filters, types } = dependencies(config, name);
  const stream = config.consumers[name]?.stream ?? '';
  const parts = [
    pick(source['consumers'], [name]),
    pick(source['streams'], [stream]),
    pick(source['transformers'], pipeline),
    pick(source['targets'], targets),
    pick(source['filters'], filters),
    canonical(source['defaults']),
    // Whether there is a place to wait for; how many there are is no business of its own.
    ...(config.runtime.max_in_flight === undefined ? [] : ['max_in_flight']),
    ...pluginUses(config, name).map(({ plugin }) => canonical([plugin, plugins.get(plugin)?.revision])),
    ...tableRevisions(config, tables, name).map(canonical),
    ...(types.length === 0 ? [] : [pick(source['types'], types)]),
    ...schemaRevisions(schemas, types).map(canonical),
  ];
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);
}

/**
 * The revision of a target: of its entry, or, where it is written in a consumer, of all that this one delivers to.
 * Undefined where there is no such target.
 *
 * @param target As its breaker is called: a named target, or `<consumer>/<route>`.
 */
export function targetRevision(source: Source, target: string): string | undefined {
  const slash = target.indexOf('/');
  const section = (source[slash < 0 ? 'targets' : 'consumers'] ?? {}) as Named;
  const name = slash < 0 ? target : target.slice(0, slash);
  if (!Object.hasOwn(section, name)) return undefined;
  const entry = section[name];
  const part = slash < 0 ? entry : ((entry ?? {}) as Named)['deliver'];
  return createHash('sha256').update(canonical(part)).digest('hex').slice(0, 16);
}
