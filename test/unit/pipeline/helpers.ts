/** Components as the configuration would compile them, run over one event. */
import { type Path, parsePath } from '../../../src/expression/index.ts';
import type { Event } from '../../../src/core/event.ts';
import type { Outcome } from '../../../src/core/plan.ts';
import type { Run, Verdict } from '../../../src/core/run.ts';
import type { Lookups, PipelineComponent } from '../../../src/pipeline/component.ts';
import { filters } from '../../../src/pipeline/filters/index.ts';
import { transformers } from '../../../src/pipeline/transformers/index.ts';
import { Cell } from '../../../src/telemetry/cells.ts';
import { NOBODY } from '../deliver/helpers.ts';
import { bodyText, Gate, harness, jsonEvent, outcome } from '../core/helpers.ts';

/** For components that look nothing up. */
export const NO_LOOKUPS: Lookups = { domain: undefined, tables: new Map(), count: () => new Cell(), shows: undefined };

export const path = (source: string): Path => parsePath(source);

export interface Passage {
  readonly event: Event;
  readonly verdict: Verdict;
  readonly missing: readonly string[];
  readonly outcomes: ReadonlyMap<string, Outcome>;
}

/** Runs one component, by its key in the configuration, with options as they stand in YAML. */
export function pass(key: string, options: unknown, event: Event): Passage {
  const component = [...filters, ...transformers].find(({ name }) => name === key) as PipelineComponent | undefined;
  if (component === undefined) throw new Error(`no component ${key}`);
  return passThrough(component, options, event);
}

/** The same for a component itself, which may look something up. */
export function passThrough(
  component: PipelineComponent,
  options: unknown,
  event: Event,
  lookups: Lookups = NO_LOOKUPS,
): Passage {
  const missing: string[] = [];
  const outcomes = new Map<string, Outcome>();
  const step = component.compile(component.options.parse(options), {
    name: 'stage',
    consumer: 'billing',
    stream: 'EVENTS',
    requester: NOBODY,
    lookups,
    bind: (expression) => expression.bind(new Map()),
    bindTemplate: (template) => template.bind(new Map()),
    missing: (where) => missing.push(where),
    filtered: (reason) => {
      const made = outcome('filtered', reason);
      outcomes.set(reason, made);
      return made;
    },
  });
  const run: Run = harness({ steps: [new Gate()] }).receive(event);
  return { event, verdict: step.run(run), missing, outcomes };
}

/** The body after a component has run over an event with this data. */
export const transformed = (key: string, options: unknown, data: unknown): string =>
  bodyText(pass(key, options, jsonEvent(data)).event);
