import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { generatedFiles, jsonSchema } from '../../../src/config/generate.ts';
import { bareSchema } from '../../../src/config/introspect.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { ERRORS } from '../../../src/errors.ts';

describe('generated files', () => {
  it.each(generatedFiles())('$path is up to date (else: npm run -s ouzel -- schema --write)', ({ path, content }) => {
    expect(readFileSync(path, 'utf8') === content).toBe(true);
  });

  it('describe every key', () => {
    const undescribed: string[] = [];
    const walk = (schema: z.ZodType, path: string): void => {
      const bare = bareSchema(schema);
      if (bare instanceof z.ZodObject)
        for (const [key, each] of Object.entries<z.ZodType>(bare.shape)) {
          if ((each.description ?? bareSchema(each).description ?? '') === '') undescribed.push(`${path}.${key}`);
          walk(each, `${path}.${key}`);
        }
      if (bare instanceof z.ZodRecord) walk(bare.valueType as z.ZodType, `${path}.*`);
      if (bare instanceof z.ZodArray) walk(bare.element as z.ZodType, `${path}[]`);
      if (bare instanceof z.ZodUnion) for (const each of bare.options) walk(each as z.ZodType, path);
    };
    walk(configSchema, '');
    expect(undescribed).toEqual([]);
  });

  it('list every error', () => {
    const page = generatedFiles().find(({ path }) => path.endsWith('errors.md'))?.content ?? '';
    for (const code of Object.keys(ERRORS)) expect(page).toContain(`\`${code}\``);
  });

  it('leave nothing of zod in the schema for editors', () => {
    const text = JSON.stringify(jsonSchema());
    expect(text).toContain('http://json-schema.org/draft-07/schema#');
    expect(text).not.toContain('"strings"');
    expect(text).not.toContain('"default":{}');
  });
});
