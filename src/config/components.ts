/** How the keys of components (`set`, `publish`, …) become part of the schema. */
import { parse } from 'yaml';
import { z } from 'zod';
import type { IssueDetails } from './fields.ts';

interface Component {
  readonly name: string;
  readonly summary: string;
  readonly example: string;
  readonly options: z.ZodType;
}

/** Options that may be left out say so by `prefault`; behind a key that may be absent, absent has to stay absent. */
type Bare<Schema extends z.ZodType> =
  Schema extends z.ZodPrefault<infer Inner extends z.ZodType>
    ? Inner
    : Schema extends z.ZodDefault<infer Inner extends z.ZodType>
      ? Inner
      : Schema;

const bare = (schema: z.ZodType): z.ZodType =>
  schema instanceof z.ZodPrefault || schema instanceof z.ZodDefault ? (schema.unwrap() as z.ZodType) : schema;

/** `{ set?: …, remove?: … }`: each component's options under its name. */
export type OptionalShape<Components extends readonly Component[]> = {
  [C in Components[number] as C['name']]: z.ZodOptional<Bare<C['options']>>;
};

/** The schema of {@link OptionalShape}. */
export const optionalShape = <const Components extends readonly Component[]>(
  components: Components,
): OptionalShape<Components> =>
  Object.fromEntries(
    components.map(({ name, options, summary, example }) => [
      name,
      bare(options)
        .optional()
        .meta({ description: describe(options, summary), examples: [parse(example) as unknown] }),
    ]),
  ) as OptionalShape<Components>;

const describe = (options: z.ZodType, summary: string): string =>
  options.description === undefined ? summary : `${summary} ${options.description}`;

/** What `superRefine` hands over, as far as it is used here. */
interface Sink {
  addIssue(issue: { code: 'custom'; message: string; params: Record<string, unknown> }): void;
}

/** Adds an issue unless the value has the number wanted of the components' keys. */
export function present(
  value: object,
  context: Sink,
  components: readonly { readonly name: string }[],
  wanted: 'at least one' | 'exactly one',
): void {
  const names = components.map(({ name }) => name);
  const there = names.filter((name) => Object.hasOwn(value, name));
  if (there.length === 1 || (there.length > 1 && wanted === 'at least one')) return;
  const params: IssueDetails = {
    code: there.length === 0 ? 'CONFIG_MISSING_KEY' : 'CONFIG_INVALID_VALUE',
    hint: `write ${wanted} of: ${names.join(', ')}`,
  };
  const message = there.length === 0 ? 'it does not say what it is' : `${there.join(' and ')} cannot stand together`;
  context.addIssue({ code: 'custom', message, params: { ...params } });
}
