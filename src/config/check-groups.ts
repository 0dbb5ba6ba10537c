/** What `group` changes for what stands behind it: what conditions and targets see, and which targets take batches. */
import type { TargetComponent } from '../deliver/component.ts';
import { targets as targetComponents } from '../deliver/targets/index.ts';
import type { Expression, Template } from '../expression/index.ts';
import { type ConfigProblem, problemAt } from './problems.ts';
import type { Config, ConsumerConfig, RouteConfig } from './schema.ts';
import { type ConfigPath, nearestNode, nodeAt, type SourceNode, spanInside, spanOf } from './source.ts';
import { expressionsIn } from './walk.ts';

const COMPONENTS: readonly TargetComponent[] = targetComponents;

/** Checks what the consumers deliver against whether they deliver batches. */
export function checkGroups(config: Config, root: SourceNode): ConfigProblem[] {
  const checker = new GroupChecker(config, root);
  for (const [name, consumer] of Object.entries(config.consumers)) checker.consumer(name, consumer);
  return [...checker.problems.values()];
}

interface Reading {
  readonly offset: number;
  readonly length: number;
  readonly message: string;
  readonly hint: string;
}

class GroupChecker {
  /** By place: a target that several consumers deliver to is complained of once. */
  readonly problems = new Map<string, ConfigProblem>();
  readonly #config: Config;
  readonly #root: SourceNode;

  constructor(config: Config, root: SourceNode) {
    this.#config = config;
    this.#root = root;
  }

  consumer(name: string, consumer: ConsumerConfig): void {
    const at: ConfigPath = ['consumers', name];
    const { group, order_by: order, prefetch, deliver = [] } = consumer;
    if (group !== undefined && group.max > prefetch) {
      const message = `a batch of ${group.max} events is never full: no more than ${prefetch} are in hand at once`;
      this.#report([...at, 'group', 'max'], message, 'make `prefetch` of the consumer larger, or this smaller');
    }
    if (group !== undefined && order !== undefined) {
      const message = 'order_by and group cannot stand together: a batch would wait for an order of which it is a part';
      this.#report([...at, 'group'], message, 'take the order from a consumer that publishes, and group behind it');
    }
    deliver.forEach((route, index) => {
      const entry: ConfigPath = [...at, 'deliver', index];
      if (route.when !== undefined) this.#reads(route.when, [...entry, 'when'], name, group !== undefined);
      this.#target(route, entry, name, group !== undefined);
    });
  }

  #target({ to }: RouteConfig, entry: ConfigPath, consumer: string, grouped: boolean): void {
    const target = typeof to === 'string' ? this.#config.targets[to] : to;
    const component = COMPONENTS.find(({ name }) =>
      target === undefined ? name === to : new Map<string, unknown>(Object.entries(target)).get(name) !== undefined,
    );
    // A plugin is asked when it is loaded; one that does not exist is complained of elsewhere.
    if (component === undefined) return;
    if (grouped && component.batch === undefined) {
      const takers = COMPONENTS.filter(({ batch }) => batch !== undefined).map(({ name }) => name);
      const message = `${component.name} takes no batches, and consumer ${consumer} has a \`group\``;
      return this.#report([...entry, 'to'], message, `those that do: ${takers.join(', ')}`);
    }
    if (target === undefined) return;
    const path: ConfigPath = typeof to === 'string' ? ['targets', to] : [...entry, 'to'];
    for (const { expression, path: inside } of expressionsIn(target))
      if (inside[0] === component.name)
        this.#reads(expression, [...path, ...inside], consumer, grouped && component.batch === 'whole');
  }

  /** What an expression reads that is not there. */
  #reads(expression: Expression | Template, path: ConfigPath, consumer: string, batches: boolean): void {
    for (const { offset, length, message, hint } of batches ? readsOne(expression) : readsMany(expression, consumer)) {
      const node = nodeAt(this.#root, path);
      if (node === undefined) return this.#report(path, message, hint);
      const span = spanInside(node, offset, length);
      this.#add(path, offset, problemAt(node.file, span, { code: 'CONFIG_EXPRESSION', message, hint, path }));
    }
  }

  #report(path: ConfigPath, message: string, hint: string): void {
    const node = nearestNode(this.#root, path);
    this.#add(path, 0, problemAt(node.file, spanOf(node), { code: 'CONFIG_INVALID_VALUE', message, hint, path }));
  }

  #add(path: ConfigPath, offset: number, problem: ConfigProblem): void {
    this.problems.set(JSON.stringify([path, offset]), problem);
  }
}

const FOR_EXAMPLE = 'for example events[0].data.id, size(events), events.exists(e, e.data.total > 1000)';

/** Where an expression that sees a batch looks at one event. */
function readsOne({ variables, filterNames }: Expression | Template): Reading[] {
  return [
    ...variables
      .filter(({ name }) => name === 'event' || name === 'msg')
      .map(({ name, ...place }) => ({
        ...place,
        message: `there is no single ${name === 'msg' ? 'message' : 'event'} behind \`group\`: there are \`events\` and \`key\``,
        hint: FOR_EXAMPLE,
      })),
    ...filterNames.map(({ offset, length }) => ({
      offset,
      length,
      message: 'a filter looks at one event, and behind `group` there are several',
      hint: FOR_EXAMPLE,
    })),
  ];
}

/** Where an expression that sees one event looks at a batch. */
const readsMany = ({ variables }: Expression | Template, consumer: string): Reading[] =>
  variables
    .filter(({ name }) => name === 'events' || name === 'key')
    .map(({ name, ...place }) => ({
      ...place,
      message: `there is no \`${name}\` here: consumer ${consumer} delivers one event at a time`,
      hint: `\`${name}\` is there behind a \`group\` of the consumer, where the target takes batches as one`,
    }));
