/**
 * What a target is made of: its schema, what it says of itself, and how it is made ready for a route. One file each,
 * and one line in `targets/index.ts`.
 */
import type { z } from 'zod';
import type { Run } from '../core/run.ts';
import type { BoundTemplate, Evaluate, Expression, Template } from '../expression/index.ts';
import type { Place } from '../errors.ts';
import type { Files, Publisher, Requester } from './ports.ts';
import type { PreparedTarget } from './route.ts';

/** What a target gets from the plan that it is made ready for. */
export interface TargetContext {
  readonly consumer: string;
  readonly route: string;
  readonly stream: string;
  bindTemplate(template: Template): BoundTemplate;
  bind(expression: Expression): Evaluate;
  missing(path: string): void;
  /** What a person searches the event by: the `key` of its stream; undefined where it has none. */
  keyOf(run: Run): string | undefined;
  readonly publisher: Publisher;
  readonly requester: Requester;
  readonly files: Files;
  /** Where relative paths start that stand at a place of the configuration. */
  folderOf(place: Place | undefined): string;
  readonly log: (fields: Readonly<Record<string, unknown>>, message: string) => void;
}

export interface TargetComponent<Schema extends z.ZodType = z.ZodType> {
  /** Its key in the configuration: `{ publish: … }`. */
  readonly name: string;
  readonly summary: string;
  readonly example: string;
  readonly options: Schema;
  /**
   * How it takes the batches of a `group`. whole: one delivery, of which the expressions see `events` and `key`; each:
   * a delivery for each event, as without a group. Left out: not at all.
   */
  readonly batch?: 'whole' | 'each' | undefined;
  /** Makes it ready for a route, without I/O: connections and files are opened by the first delivery. */
  prepare(options: z.output<Schema>, context: TargetContext): PreparedTarget;
}

/** Lets the options of `prepare` be typed by the schema beside it. */
export const defineTargetComponent = <Schema extends z.ZodType>(
  component: TargetComponent<Schema>,
): TargetComponent<Schema> => component;
