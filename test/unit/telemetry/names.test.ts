import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { expect, it } from 'vitest';
import { ATTRIBUTES } from '../../../src/telemetry/names.ts';

it('the attributes of spans are those of the conventions, or our own', () => {
  const known = new Set<unknown>(Object.values(conventions));
  for (const name of Object.values(ATTRIBUTES)) {
    if (!name.startsWith('ouzel.')) expect(known, name).toContain(name);
  }
});
