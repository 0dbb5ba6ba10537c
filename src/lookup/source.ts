/**
 * Where values are looked up: a KV bucket, a table, a web server, a database. One file each, and one line in
 * `sources/index.ts`, which enrols it in the schema and the docs.
 */
import type { z } from 'zod';
import type { Run } from '../core/run.ts';
import type { Requester } from '../deliver/ports.ts';
import type { Preview } from '../deliver/route.ts';
import type { BoundTemplate, Evaluate, Expression, Template } from '../expression/index.ts';
import type { Tables } from './tables/table.ts';

/** Nothing is there. */
export const MISSING = Symbol('missing');

export interface Found {
  /** A JSON value, which whoever gets it does not change. */
  readonly value: unknown;
  /** Bytes that it takes, about. */
  readonly size: number;
}

export type Answer = Found | typeof MISSING;

/** Something to be asked, and answered later. */
export interface Question {
  /** The same for questions that have the same answer. */
  readonly id: string;
  /**
   * @param signal Aborted when nobody waits for the answer any more.
   * @throws OuzelError
   */
  ask(signal: AbortSignal): Promise<Answer>;
  /** What would be asked, for `explain`. */
  preview(): Preview;
}

export interface LookupSource {
  /**
   * What is to be asked for an event, the answer where it is at hand, or undefined where there is nothing to ask with.
   *
   * @param key The value of `key`, as JSON; undefined where the lookup has none.
   * @throws OuzelError what expressions and templates do
   */
  question(run: Run, key: unknown): Question | Answer | undefined;
  /** Lets go of connections. */
  close?(): void;
}

/** What a source gets from the plan that it is made ready for. */
export interface SourceContext {
  bind(expression: Expression): Evaluate;
  bindTemplate(template: Template): BoundTemplate;
  /** Counts a field that was not there. */
  missing(path: string): void;
  readonly requester: Requester;
  /** JetStream domain, or undefined. */
  readonly domain: string | undefined;
  /** The tables of the configuration. */
  readonly tables: Tables;
}

export interface SourceComponent<Name extends string = string, Schema extends z.ZodType = z.ZodType> {
  /** Its key in the options of `lookup`. */
  readonly name: Name;
  readonly summary: string;
  readonly example: string;
  readonly options: Schema;
  /** Whether there is nothing to look up without `key`. */
  needsKey(options: z.output<Schema>): boolean;
  /** Makes it ready, without I/O: what it needs is opened by the first question. */
  prepare(options: z.output<Schema>, context: SourceContext): LookupSource;
}

/** Lets the options of `prepare` be typed by the schema beside it. */
export const defineSource = <const Name extends string, Schema extends z.ZodType>(
  component: SourceComponent<Name, Schema>,
): SourceComponent<Name, Schema> => component;
