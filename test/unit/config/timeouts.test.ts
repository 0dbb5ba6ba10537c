/** A drain waits for what runs: no component may have a timeout that `http.drain` does not know of. */
import { describe, expect, it } from 'vitest';
import { parse as fromYaml, stringify } from 'yaml';
import { z } from 'zod';
import { targets } from '../../../src/deliver/targets/index.ts';
import { transformers } from '../../../src/pipeline/transformers/index.ts';
import { problemsIn } from './helpers.ts';

interface Component {
  readonly name: string;
  readonly example: string;
  readonly options: z.ZodType;
}

const bare = (schema: z.ZodType): unknown =>
  schema instanceof z.ZodPrefault || schema instanceof z.ZodDefault ? schema.unwrap() : schema;

const withTimeout = (components: readonly Component[]): readonly Component[] =>
  components.filter(({ options }) => {
    const schema = bare(options);
    return schema instanceof z.ZodObject && Object.hasOwn(schema.shape, 'timeout');
  });

describe.each([
  ['targets', withTimeout(targets)],
  ['transformers', withTimeout(transformers)],
] as const)('%s', (section, components) => {
  it.each(components.map((each) => [each.name, each] as const))('%s', (name, { example }) => {
    const options = { ...(fromYaml(example) as object), timeout: '10m' };
    const [problem, ...more] = problemsIn(
      stringify({ version: 1, [section]: { it: { [name]: options } } }).replaceAll('${file:', '$${file:'),
    );
    expect(more).toEqual([]);
    expect(problem).toMatchObject({ path: `${section}.it.${name}.timeout` });
    expect(problem?.message).toMatch(/10m.*http\.drain/);
  });
});
