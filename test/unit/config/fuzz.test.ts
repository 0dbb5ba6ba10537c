import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/config/load.ts';
import { parse } from './helpers.ts';
import { mutate, random } from './mutate.ts';

const SAMPLE = readFileSync('config/ouzel.yaml', 'utf8');

/** Loads or is refused in an orderly way; what would take for ever ends at the test's time limit. */
function check(text: string): void {
  const lines = text.replace(/^\ufeff/, '').split('\n');
  try {
    parse(text, { env: { X: 'x"\n: {' } });
  } catch (error) {
    if (!(error instanceof ConfigError))
      throw new Error(`not a ConfigError for ${JSON.stringify(text)}`, { cause: error });
    expect(error.problems.length).toBeGreaterThan(0);
    for (const { place, excerpt, message } of error.problems) {
      expect(message).not.toBe('');
      const line = lines[(place?.line ?? 0) - 1];
      expect(line).toBeDefined();
      expect(place?.column).toBeLessThanOrEqual([...(line ?? '')].length + 1);
      if (excerpt !== undefined) expect(excerpt.line).toBe(place?.line);
    }
  }
}

describe('whatever the file holds', () => {
  it.each(Array.from({ length: 10 }, (_, index) => index + 1))(
    'mutations of the sample, seed %d',
    { timeout: 60_000 },
    (seed) => {
      const next = random(seed);
      for (let count = 0; count < 150; count++) check(mutate(SAMPLE, next));
    },
  );

  it('mutations on top of mutations', { timeout: 60_000 }, () => {
    const next = random(4711);
    let text = SAMPLE;
    for (let count = 0; count < 300; count++) {
      text = mutate(text, next).slice(0, 4000);
      check(text);
      if (count % 30 === 29) text = SAMPLE;
    }
  });

  it.each([
    ['brackets', '['.repeat(50_000)],
    ['braces', '{a: '.repeat(20_000)],
    ['dashes', '- '.repeat(20_000)],
    ['indentation', Array.from({ length: 2000 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')],
    ['quotes', '"'.repeat(100_000)],
    ['one long line', `version: 1\nx: ${'y'.repeat(1_000_000)}`],
    ['many lines', `version: 1\n${'#\n'.repeat(200_000)}`],
    ['many keys', `version: 1\nfilters:\n${Array.from({ length: 5000 }, (_, n) => `  f${n}: "true"`).join('\n')}`],
    ['many unknown keys', `version: 1\n${Array.from({ length: 5000 }, (_, n) => `k${n}: 1`).join('\n')}`],
    ['unknown keys on one line', `{ version: 1, ${Array.from({ length: 5000 }, (_, n) => `key${n}: {}`).join(', ')} }`],
    [
      'a long chain of filters',
      `version: 1\nfilters:\n${Array.from({ length: 3000 }, (_, n) => `  f${n}: filters.f${n + 1}`).join('\n')}\n  f3000: "true"`,
    ],
    [
      'anchors',
      `version: 1\n${Array.from({ length: 3000 }, (_, n) => `k${n}: &a${n} [*a${Math.max(0, n - 1)}]`).join('\n')}`,
    ],
    ['substitutions', `version: 1\nnats: { user: "${'${X}'.repeat(50_000)}" }`],
    ['open substitutions', `version: 1\nnats: { user: "${'${'.repeat(50_000)}" }`],
    ['bangs', `version: 1\nfilters:\n${'  a: !x\n'.repeat(2000)}`],
  ])('many %s', { timeout: 60_000 }, (_name, text) => {
    check(text);
  });
});
