/** What `priority` and `lanes` need of what stands beside them. */
import { covers, overlaps } from '../core/subjects.ts';
import { laneDurable, REST } from '../core/lane.ts';
import { formatPlace } from '../errors.ts';
import { exclusiveFor } from '../reconcile/exclusive.ts';
import { type ConfigProblem, problemAt } from './problems.ts';
import type { Config, ConsumerConfig } from './schema.ts';
import { type ConfigPath, nearestNode, type SourceNode, spanOf } from './source.ts';

/** Priorities where nothing waits; lanes that overlap, take what the consumer never gets, or share a name. */
export function checkLanes(config: Config, root: SourceNode): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [name, consumer] of Object.entries(config.consumers)) {
    const checker = new Checker(config, root, name, consumer);
    checker.priority();
    checker.lanes();
    problems.push(...checker.problems);
  }
  return problems;
}

type Lanes = NonNullable<ConsumerConfig['lanes']>;

class Checker {
  readonly problems: ConfigProblem[] = [];
  readonly #config: Config;
  readonly #root: SourceNode;
  readonly #name: string;
  readonly #consumer: ConsumerConfig;

  constructor(config: Config, root: SourceNode, name: string, consumer: ConsumerConfig) {
    this.#config = config;
    this.#root = root;
    this.#name = name;
    this.#consumer = consumer;
  }

  /** Where all begins at once, nothing stands in line. */
  priority(): void {
    const { priority, concurrency } = this.#consumer;
    const { max_in_flight: most } = this.#config.runtime;
    if (priority === undefined || concurrency !== undefined || most !== undefined) return;
    const hint =
      'add `concurrency: { max: 16 }`, or `runtime.max_in_flight`: what is beyond that waits, and priority says who is next';
    this.#report(['priority'], 'priority is nothing without a bound on what is at work', hint, 'key');
  }

  lanes(): void {
    const { lanes } = this.#consumer;
    if (lanes === undefined) return;
    for (const feature of exclusiveFor(this.#consumer)) {
      const [key = feature] = feature.split('.');
      const hint =
        'they need all events in one durable: leave one out, or make several consumers over disjoint subjects';
      this.#report([key], `${feature} and lanes cannot stand together`, hint, 'key');
    }
    this.#names(lanes);
    this.#subjects(lanes);
    this.#overlaps(lanes);
  }

  #names(lanes: Lanes): void {
    const first = new Map<string, number>();
    for (const [index, { name, subjects }] of lanes.entries()) {
      const at: ConfigPath = ['lanes', index, 'name'];
      const other = first.get(name);
      if (other === undefined) first.set(name, index);
      else this.#report(at, `the lane "${name}" is already at ${this.#place(other)}`, 'choose another name');
      if (name === REST && subjects !== undefined)
        this.#report(at, `"${REST}" is the lane of what is in no other`, 'choose another name');
      if (subjects !== undefined) this.#durable(name, at);
    }
    const open = lanes.flatMap(({ subjects }, index) => (subjects === undefined ? [index] : []));
    for (const index of open.slice(1)) {
      const message = `the lane "${lanes[open[0] ?? 0]?.name ?? ''}" takes the rest already`;
      this.#report(['lanes', index, 'name'], message, 'one lane may be without subjects: give this one some');
    }
    if (open.length === lanes.length)
      this.#report(['lanes'], 'no lane has subjects', 'write [{ name: urgent, subjects: [events.urgent.>] }]', 'key');
  }

  /** A lane's durable stands beside those of the other consumers of the stream. */
  #durable(lane: string, at: ConfigPath): void {
    const durable = laneDurable(this.#name, lane);
    for (const [name, { stream, lanes = [] }] of Object.entries(this.#config.consumers)) {
      if (stream !== this.#consumer.stream || name === this.#name) continue;
      const message = `the durable of this lane, ${durable}, would be that of the consumer "${name}"`;
      const taken = lanes.some((each) => each.subjects !== undefined && laneDurable(name, each.name) === durable);
      if (name === durable || taken) this.#report(at, message, 'choose another name for the lane');
    }
  }

  /** A lane takes of what the consumer takes. */
  #subjects(lanes: Lanes): void {
    const { stream, subjects } = this.#consumer;
    const held = this.#config.streams[stream]?.subjects;
    for (const [index, lane] of lanes.entries())
      for (const [nth, subject] of (lane.subjects ?? []).entries()) {
        const at: ConfigPath = ['lanes', index, 'subjects', nth];
        if (subjects !== undefined && !subjects.some((each) => covers(each, subject)))
          this.#report(at, `the consumer takes less than ${subject}`, `it takes ${subjects.join(', ')}`);
        else if (held !== undefined && !held.some((each) => overlaps(each, subject)))
          this.#report(at, `the stream ${stream} never holds ${subject}`, `it holds ${held.join(', ')}`);
      }
  }

  /** Each event goes by one lane. */
  #overlaps(lanes: Lanes): void {
    const seen: { readonly lane: string; readonly subject: string }[] = [];
    for (const [index, { name, subjects = [] }] of lanes.entries())
      for (const [nth, subject] of subjects.entries()) {
        const other = seen.find((each) => overlaps(each.subject, subject));
        seen.push({ lane: name, subject });
        if (other === undefined) continue;
        const of = other.lane === name ? 'of this lane' : `of the lane "${other.lane}"`;
        const message = `${subject} overlaps with ${other.subject} ${of}`;
        this.#report(['lanes', index, 'subjects', nth], message, 'each event goes by one lane');
      }
  }

  #place(index: number): string {
    const node = nearestNode(this.#root, ['consumers', this.#name, 'lanes', index, 'name']);
    return formatPlace(node.file.place(spanOf(node).start));
  }

  #report(at: ConfigPath, message: string, hint: string, on: 'key' | 'value' = 'value'): void {
    const path: ConfigPath = ['consumers', this.#name, ...at];
    const node = nearestNode(this.#root, path);
    const span = on === 'key' ? (node.key ?? spanOf(node)) : spanOf(node);
    this.problems.push(problemAt(node.file, span, { code: 'CONFIG_INVALID_VALUE', message, hint, path }));
  }
}
