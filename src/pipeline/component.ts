/**
 * What a filter or transformer is made of: its schema, what it says of itself, and how it compiles. One file each, and
 * one line in its folder's index, which enrols it in the schema, the docs and the conformance tests.
 */
import type { z } from 'zod';
import type { Outcome, Step } from '../core/plan.ts';
import type { Requester } from '../deliver/ports.ts';
import type { Preview } from '../deliver/route.ts';
import type { BoundTemplate, Evaluate, Expression, Template } from '../expression/index.ts';
import type { Tables } from '../lookup/tables/table.ts';
import type { Cell } from '../telemetry/cells.ts';

/** What lookups need of the outside. */
export interface Lookups {
  /** JetStream domain, or undefined. */
  readonly domain: string | undefined;
  /** The tables of the configuration. */
  readonly tables: Tables;
  /** Where it is counted what came of the lookups of this stage. */
  count(result: 'hit' | 'found' | 'missing' | 'failed'): Cell;
  /** Set where nobody may be asked: is shown what would be. */
  readonly shows: ((asked: Preview) => void) | undefined;
}

/** What a component gets from the plan that it is compiled into. */
export interface StageContext {
  /** Its name in the configuration, or its place (`pipeline[2]`): what outcomes and errors show. */
  readonly name: string;
  readonly consumer: string;
  readonly stream: string;
  readonly requester: Requester;
  readonly lookups: Lookups;
  /** Binds an expression to the named filters, which it may refer to. */
  bind(expression: Expression): Evaluate;
  bindTemplate(template: Template): BoundTemplate;
  /** Counts a field that was not there, by its path in the configuration. */
  missing(path: string): void;
  /** The outcome of an event that this stage holds back. */
  filtered(reason: string): Outcome;
}

interface Described {
  /** Its key in the configuration: `{ set: … }`. */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** Options as they would stand in YAML. */
  readonly example: string;
}

export interface PipelineComponent<Schema extends z.ZodType = z.ZodType> extends Described {
  readonly kind: 'filter' | 'transformer';
  readonly options: Schema;
  compile(options: z.output<Schema>, context: StageContext): Step;
}

/** Lets the options of `compile` be typed by the schema beside it. */
export const definePipelineComponent = <Schema extends z.ZodType>(
  component: PipelineComponent<Schema>,
): PipelineComponent<Schema> => component;
