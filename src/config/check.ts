/** What a schema cannot see: names that refer to nothing, names that clash, filters in a circle, times that do not fit. */
import { typeMatcher } from '../contracts/match.ts';
import { overlaps } from '../core/subjects.ts';
import { targets as targetComponents } from '../deliver/targets/index.ts';
import { type ErrorCode, formatPlace } from '../errors.ts';
import { Expression, type Template } from '../expression/index.ts';
import { INCIDENT_STREAM, INCIDENT_SUBJECTS, INCIDENTS } from '../telemetry/incidents/catalogue.ts';
import { checkAccess } from './check-access.ts';
import { checkLanes } from './check-lanes.ts';
import { checkGroups } from './check-groups.ts';
import { checkSources } from './check-sources.ts';
import { formatDuration } from './fields.ts';
import { type ConfigProblem, formatPath, problemAt } from './problems.ts';
import type { Config, ConsumerConfig, RouteConfig } from './schema.ts';
import { type ConfigPath, nearestNode, nodeAt, type SourceNode, spanInside, spanOf } from './source.ts';
import { isSlip, nearest, suggestion } from './suggest.ts';
import { eachExpression } from './walk.ts';

/** Every name that a section defines, entries that are not valid themselves included. */
export interface DefinedNames {
  readonly streams: readonly string[];
  readonly filters: readonly string[];
  readonly transformers: readonly string[];
  readonly targets: readonly string[];
}

/** Targets that can be named without being defined: those that need no options. */
const OPTIONLESS_TARGETS: readonly string[] = targetComponents
  .filter(({ options }) => options.safeParse(undefined).success)
  .map(({ name }) => name);

/** Checks the entries of a configuration that are valid by themselves against each other. */
export function checkReferences(config: Config, root: SourceNode, names: DefinedNames): ConfigProblem[] {
  const checker = new Checker(config, root, names);
  checker.credentials();
  checker.namespace();
  checker.streams();
  checker.consumers();
  checker.filterReferences();
  checker.filterCircles();
  checker.timeouts();
  return [
    ...checker.problems,
    ...checkAccess(config, root),
    ...checkLanes(config, root),
    ...checkSources(config, root),
    ...checkGroups(config, root),
  ];
}

class Checker {
  readonly problems: ConfigProblem[] = [];
  readonly #config: Config;
  readonly #root: SourceNode;
  readonly #names: DefinedNames;

  constructor(config: Config, root: SourceNode, names: DefinedNames) {
    this.#config = config;
    this.#root = root;
    this.#names = names;
  }

  #report(path: ConfigPath, code: ErrorCode, message: string, hint?: string, on: 'key' | 'value' = 'value'): void {
    const node = nearestNode(this.#root, path);
    const span = on === 'key' ? (node.key ?? spanOf(node)) : spanOf(node);
    this.problems.push(problemAt(node.file, span, { code, message, hint, path }));
  }

  #place(path: ConfigPath, on: 'key' | 'value'): string {
    const node = nearestNode(this.#root, path);
    const span = on === 'key' ? (node.key ?? spanOf(node)) : spanOf(node);
    return formatPlace(node.file.place(span.start));
  }

  /** One way to say who one is, and all of it. */
  credentials(): void {
    const { nats } = this.#config;
    const ways = (['creds', 'nkey', 'token', 'user'] as const).filter((key) => nats[key] !== undefined);
    for (const way of ways.slice(1)) {
      const message = `${String(ways[0])} and ${way} cannot stand together`;
      this.#report(
        ['nats', way],
        'CONFIG_INVALID_VALUE',
        message,
        'one of creds, nkey, token, user with password',
        'key',
      );
    }
    const pairs = [
      [['nats', 'password'], nats.password, ['nats', 'user'], nats.user],
      [['nats', 'tls', 'cert'], nats.tls?.cert, ['nats', 'tls', 'key'], nats.tls?.key],
      [['nats', 'tls', 'key'], nats.tls?.key, ['nats', 'tls', 'cert'], nats.tls?.cert],
    ] as const;
    for (const [path, value, other, needed] of pairs) {
      if (value === undefined || needed !== undefined) continue;
      const message = `${formatPath(path)} is nothing without ${formatPath(other)}`;
      this.#report(path, 'CONFIG_MISSING_KEY', message, undefined, 'key');
    }
  }

  /** Filters and transformers share one namespace: a pipeline names both. */
  namespace(): void {
    const { filters, transformers } = this.#names;
    for (const name of transformers) {
      if (!filters.includes(name)) continue;
      const places = (['filters', 'transformers'] as const).map((section) => ({
        path: [section, name],
        node: nearestNode(this.#root, [section, name]),
      }));
      // The later one is at fault, and the fleet's before the file's.
      const [first, second] = places.sort(
        ({ node: a }, { node: b }) =>
          Number(a.file.layer === 'fleet') - Number(b.file.layer === 'fleet') || spanOf(a).start - spanOf(b).start,
      );
      if (first === undefined || second === undefined) continue;
      const where = this.#place(first.path, 'key');
      const message = `"${name}" is already the name of a ${first.path[0]?.slice(0, -1)} at ${where}`;
      this.#report(second.path, 'CONFIG_DUPLICATE_NAME', message, 'filters and transformers share their names', 'key');
    }
  }

  streams(): void {
    for (const name of Object.keys(this.#config.streams))
      if (/^OUZEL_/i.test(name)) {
        const message = 'streams named OUZEL_… are kept by Ouzel itself';
        this.#report(['streams', name], 'CONFIG_INVALID_VALUE', message, 'choose another name', 'key');
      }
  }

  consumers(): void {
    for (const [name, consumer] of Object.entries(this.#config.consumers)) {
      const at: ConfigPath = ['consumers', name];
      this.#stream(consumer.stream, [...at, 'stream']);
      this.#subjects(consumer, at);
      this.#incidents(consumer, at);
      consumer.pipeline.forEach((stage, index) => {
        if (typeof stage === 'string') this.#stage(stage, [...at, 'pipeline', index]);
      });
      this.#routes(consumer.deliver ?? [], [...at, 'deliver']);
    }
  }

  /** A stream that is not declared is used as it is on the server, unless its name looks like a slip. */
  #stream(name: string, path: ConfigPath): void {
    const { streams } = this.#names;
    if (streams.includes(name) || name === INCIDENT_STREAM) return;
    const meant = [...streams, INCIDENT_STREAM].find((each) => isSlip(name, each));
    if (meant !== undefined)
      this.#report(
        path,
        'CONFIG_UNKNOWN_NAME',
        `there is no stream "${name}" in \`streams\``,
        `did you mean "${meant}"?`,
      );
  }

  /** Where the stream is declared, it is known what a consumer can never get. */
  #subjects({ stream, subjects }: ConsumerConfig, at: ConfigPath): void {
    const held = stream === INCIDENT_STREAM ? [INCIDENT_SUBJECTS] : this.#config.streams[stream]?.subjects;
    if (held === undefined) return;
    for (const [index, subject] of (subjects ?? []).entries()) {
      if (held.some((each) => overlaps(each, subject))) continue;
      const message = `the stream ${stream} never holds ${subject}`;
      this.#report([...at, 'subjects', index], 'CONFIG_INVALID_VALUE', message, `it holds ${held.join(', ')}`);
    }
  }

  /** What Ouzel says about itself is known, so a type that is none of it is a slip. */
  #incidents({ stream, types }: ConsumerConfig, at: ConfigPath): void {
    if (stream !== INCIDENT_STREAM) return;
    const kinds = Object.keys(INCIDENTS);
    for (const [index, type] of (types ?? []).entries())
      if (!kinds.some(typeMatcher([type])))
        this.#report(
          [...at, 'types', index],
          'CONFIG_UNKNOWN_NAME',
          `there is no incident "${type}"`,
          suggestion(type, kinds),
        );
  }

  #stage(name: string, path: ConfigPath): void {
    const { filters, transformers, targets } = this.#names;
    const known = [...filters, ...transformers];
    if (known.includes(name)) return;
    const hint = targets.includes(name)
      ? `"${name}" is a target: it goes under deliver, as {to: ${name}}`
      : suggestion(name, known, 'define it under filters or transformers, or write it here: {filter: …}, {set: …}');
    this.#report(path, 'CONFIG_UNKNOWN_NAME', `there is no filter or transformer "${name}"`, hint);
  }

  #routes(routes: readonly RouteConfig[], path: ConfigPath): void {
    const first = new Map<string, ConfigPath>();
    routes.forEach((route, index) => {
      const at: ConfigPath = [...path, index];
      if (typeof route.to === 'string') this.#target(route.to, [...at, 'to']);
      const name = routeName(route);
      const named: ConfigPath = [...at, route.name === undefined ? 'to' : 'name'];
      const other = first.get(name);
      if (other === undefined) first.set(name, named);
      else {
        const message = `the route "${name}" is already at ${this.#place(other, 'value')}`;
        const hint =
          route.name === undefined
            ? "a route bears its target's name: give one of them a `name`"
            : 'choose another name';
        this.#report(named, 'CONFIG_DUPLICATE_NAME', message, hint);
      }
    });
  }

  #target(name: string, path: ConfigPath): void {
    const { targets, filters, transformers } = this.#names;
    if (targets.includes(name) || OPTIONLESS_TARGETS.includes(name)) return;
    const hint = targetComponents.some((each) => each.name === name)
      ? `"${name}" needs options: {${name}: …}`
      : [...filters, ...transformers].includes(name)
        ? `"${name}" is a filter or transformer: it goes into the pipeline`
        : suggestion(name, [...targets, ...OPTIONLESS_TARGETS]);
    this.#report(path, 'CONFIG_UNKNOWN_NAME', `there is no target "${name}"`, hint);
  }

  filterReferences(): void {
    const { filters, transformers } = this.#names;
    eachExpression(this.#config, (expression, path) => {
      for (const { name, offset, length } of expression.filterNames) {
        if (filters.includes(name)) {
          const filter = this.#config.filters[name];
          if (filter !== undefined && !(filter instanceof Expression))
            this.#inside(path, offset, length, `the filter "${name}" is a plugin`, 'it can stand in a pipeline only');
          continue;
        }
        const near = nearest(name, filters);
        const hint = transformers.includes(name)
          ? `"${name}" is a transformer`
          : near === undefined
            ? suggestion(name, filters, 'there are no filters with a name')
            : `did you mean ${reference(near)}?`;
        this.#inside(path, offset, length, `there is no filter "${name}"`, hint);
      }
    });
  }

  #inside(path: ConfigPath, offset: number, length: number, message: string, hint?: string): void {
    const node = nodeAt(this.#root, path);
    if (node === undefined) return this.#report(path, 'CONFIG_EXPRESSION', message, hint);
    const span = spanInside(node, offset, length);
    this.problems.push(problemAt(node.file, span, { code: 'CONFIG_EXPRESSION', message, hint, path }));
  }

  /** A filter may name others, as long as none comes back to itself. Each circle is said once. */
  filterCircles(): void {
    const { filters } = this.#config;
    const done = new Set<string>();
    const visit = (name: string, chain: readonly string[]): void => {
      const filter = Object.hasOwn(filters, name) ? filters[name] : undefined;
      if (!(filter instanceof Expression) || done.has(name)) return;
      for (const next of filter.filterNames) {
        const from = [...chain, name].indexOf(next.name);
        if (from < 0) visit(next.name, [...chain, name]);
        else if (!done.has(next.name)) {
          const circle = [...chain, name].slice(from);
          const message =
            circle.length === 1
              ? `the filter "${name}" refers to itself`
              : `the filters refer to each other in a circle: ${[...circle, next.name].join(' → ')}`;
          this.#inside(['filters', name], next.offset, next.length, message);
        }
      }
      done.add(name);
    };
    for (const name of Object.keys(filters)) visit(name, []);
  }

  /** A drain waits for what runs, so it must be longer than anything may run. */
  timeouts(): void {
    const { defaults, http, consumers, targets, transformers } = this.#config;
    const entries: Timeout[] = [
      { path: DEFAULT_TIMEOUT, timeout: defaults.timeout },
      ...Object.entries(consumers).map(([name, { timeout }]) => ({ path: ['consumers', name, 'timeout'], timeout })),
      ...Object.entries(targets).flatMap(([name, each]) => timeoutsOf(each, ['targets', name])),
      ...Object.entries(transformers).flatMap(([name, each]) => timeoutsOf(each, ['transformers', name])),
      ...Object.entries(consumers).flatMap(([name, { pipeline, deliver = [] }]) => [
        ...pipeline.flatMap((stage, index) => timeoutsOf(stage, ['consumers', name, 'pipeline', index])),
        ...deliver.flatMap(({ to }, index) => timeoutsOf(to, ['consumers', name, 'deliver', index, 'to'])),
      ]),
    ];
    for (const { path, timeout } of entries) {
      if (timeout === undefined || timeout < http.drain) continue;
      const written = nodeAt(this.#root, path) !== undefined;
      // What a component waits by default ends with the attempt, which is looked at itself.
      if (!written && path !== DEFAULT_TIMEOUT) continue;
      const [long, drain] = [formatDuration(timeout), formatDuration(http.drain)];
      const message = written
        ? `this timeout (${long}) is not shorter than http.drain (${drain})`
        : `http.drain (${drain}) is not longer than ${formatPath(path)} (${long} by default)`;
      const hint = 'a shutdown waits for what runs: make `http.drain` longer, or the timeout shorter';
      this.#report(written ? path : ['http', 'drain'], 'CONFIG_INVALID_VALUE', message, hint);
    }
  }
}

interface Timeout {
  readonly path: ConfigPath;
  /** Milliseconds. */
  readonly timeout: number | undefined;
}

const DEFAULT_TIMEOUT: ConfigPath = ['defaults', 'timeout'];

/** Where a target or a stage may have a timeout: one of its own, and those of what it is made of. */
const TIMEOUTS: readonly (readonly string[])[] = [
  [],
  ['publish'],
  ['request'],
  ['request', 'reply', 'publish'],
  ['webhook'],
  ['sql'],
  ['notify'],
  ['lookup', 'kv'],
  ['lookup', 'http'],
  ['lookup', 'sql'],
];

/** Every timeout of a target or a stage; one that is only named has none here. */
const timeoutsOf = (entry: unknown, at: ConfigPath): Timeout[] =>
  TIMEOUTS.flatMap((inside) => {
    let value = entry;
    for (const key of [...inside, 'timeout'])
      value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
    return typeof value === 'number' ? [{ path: [...at, ...inside, 'timeout'], timeout: value }] : [];
  });

const reference = (name: string): string => (/^\w+$/.test(name) ? `filters.${name}` : `filters['${name}']`);

/** A route's own name, else that of its target, else that of its target's kind. */
function routeName(route: RouteConfig): string {
  if (route.name !== undefined) return route.name;
  if (typeof route.to === 'string') return route.to;
  const { to } = route;
  return to.plugin ?? targetComponents.find(({ name }) => Object.hasOwn(to, name))?.name ?? '';
}

/** What a value put into an expression or template would do to it, where that is more than to be a value. */
export function checkInsertions(config: Config, root: SourceNode): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  eachExpression(config, (expression, path) => {
    const node = nodeAt(root, path);
    const { token, insertions } = node ?? {};
    if (node === undefined || token === undefined || insertions === undefined) return;
    for (const insertion of insertions) {
      const { raw, source } = insertion;
      // The whole text comes from outside: that is what was asked for.
      if (source === '$${' || (raw.start === 0 && raw.end === token.value.length)) continue;
      const reason = insertionProblem(expression, insertion);
      if (reason === undefined) continue;
      const span = spanInside(node, insertion.start, insertion.end - insertion.start);
      const message = `the value of ${source} ${reason}`;
      const hint = 'what is put into an expression is a number, true, false, or text inside of quotes';
      problems.push(problemAt(node.file, span, { code: 'CONFIG_SUBSTITUTION', message, hint, path }));
    }
  });
  return problems;
}

function insertionProblem(
  expression: Expression | Template,
  { start, end }: { start: number; end: number },
): string | undefined {
  const value = expression.source.slice(start, end);
  const around = contextAt(expression, start);
  if (around === 'text') return /\{\{|\}\}/.test(value) ? 'has {{ or }} in it' : undefined;
  if (around === 'code')
    return /^(?:-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false)$/.test(value)
      ? undefined
      : 'is not a number, true or false';
  return value.includes(around) || /[\\\n\r]/.test(value) ? 'would end the text that it stands in' : undefined;
}

/** What surrounds a position: plain text of a template, code, or a string that the quote given ends. */
function contextAt(expression: Expression | Template, position: number): 'text' | 'code' | '"' | "'" {
  const { source } = expression;
  let context: 'text' | 'code' | '"' | "'" = expression instanceof Expression ? 'code' : 'text';
  for (let at = 0; at < position; at++) {
    const character = source[at];
    if (context === 'text') {
      if (source.startsWith('{{', at)) {
        context = 'code';
        at++;
      }
    } else if (context === 'code') {
      if (character === '"' || character === "'") context = character;
      else if (!(expression instanceof Expression) && source.startsWith('}}', at)) {
        context = 'text';
        at++;
      }
    } else if (character === '\\') at++;
    else if (character === context) context = 'code';
  }
  return context;
}
