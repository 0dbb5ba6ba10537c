/** The published CEL conformance cases (`@bufbuild/cel-spec`). Every case passes or is a declared difference. */

import { tests } from '@bufbuild/cel-spec/testdata/conformance.js';
import { describe, expect, it } from 'vitest';
import type { Environment, Variable } from '../../../src/expression/environment.ts';
import { equals } from '../../../src/expression/equality.ts';
import { ExpressionError, isFault, parseExpression, toText } from '../../../src/expression/index.ts';
import { NoSuchValue, fromCel, isRecord } from './cel-values.ts';
import type { Json } from './cel-values.ts';
import { DIFFERENCES } from './conformance-differences.ts';
import { scopeOf } from './helpers.ts';

interface Case {
  readonly name: string;
  readonly test: Json;
  readonly expectsError: boolean;
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const recordsOf = (value: unknown): readonly Json[] => listOf(value).filter(isRecord);

const CASES: readonly Case[] = recordsOf(isRecord(tests) ? tests['suites'] : undefined).flatMap((file) =>
  recordsOf(file['suites']).flatMap((section) =>
    recordsOf(section['tests']).flatMap(({ original }) => {
      if (!isRecord(original)) return [];
      const name = `${String(file['name'])}/${String(section['name'])}/${String(original['name'])}`;
      return [{ name, test: original, expectsError: 'evalError' in original || 'anyEvalErrors' in original }];
    }),
  ),
);

const variable = (value: unknown): Variable => ({ summary: '', kinds: ['event'], read: () => value });

function environmentOf(test: Json): Environment {
  const environment = new Map<string, Variable>();
  for (const declared of recordsOf(test['typeEnv'])) environment.set(String(declared['name']), variable(undefined));
  const bindings = isRecord(test['bindings']) ? test['bindings'] : {};
  for (const [name, binding] of Object.entries(bindings)) {
    environment.set(name, variable(fromCel(isRecord(binding) ? binding['value'] : undefined)));
  }
  return environment;
}

function expectedOf(test: Json): unknown {
  if ('value' in test) return fromCel(test['value']);
  const typed = test['typedResult'];
  return isRecord(typed) && 'result' in typed ? fromCel(typed['result']) : true;
}

/** What is wrong with a case, or undefined when it passes. Throws only what would be a fault of ours. */
function run({ test, expectsError }: Case): string | undefined {
  if (test['checkOnly'] === true) return 'not evaluated';
  let answer: unknown;
  try {
    answer = parseExpression(String(test['expr']), 'event', environmentOf(test)).bind(new Map())(scopeOf({}));
  } catch (error) {
    if (error instanceof ExpressionError) return expectsError ? undefined : `refused: ${error.message}`;
    if (error instanceof NoSuchValue) return `no such value: ${error.message}`;
    throw error;
  }
  if (isFault(answer)) return expectsError ? undefined : `fault: ${answer.message}`;
  if (expectsError) return `expected an error, got ${toText(answer)}`;
  try {
    const expected = expectedOf(test);
    return equals(answer, expected) ? undefined : `expected ${toText(expected)}, got ${toText(answer)}`;
  } catch (error) {
    if (error instanceof NoSuchValue) return `no such value: ${error.message}`;
    throw error;
  }
}

const pattern = (text: string): RegExp =>
  new RegExp(`^${text.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`);

const DECLARED = DIFFERENCES.flatMap(({ reason, cases }) =>
  cases.map((name) => ({ reason, name, pattern: pattern(name) })),
);

describe('CEL conformance', () => {
  const results = CASES.map((one) => {
    const declared = DECLARED.find((difference) => difference.pattern.test(one.name));
    return { ...one, declared, problem: run(one) };
  });

  it('passes every case that is not a declared difference', () => {
    const failed = results.filter(({ problem, declared }) => problem !== undefined && !declared);
    expect(failed.map(({ name, test, problem }) => `${name}: ${String(test['expr'])}: ${problem}`)).toEqual([]);
  });

  it('declares no difference that is none', () => {
    // A case that expects an error is refused for the declared reason as well as for its own: that is no proof.
    const rotten = results.filter(
      ({ problem, declared, expectsError }) => declared && problem === undefined && !expectsError,
    );
    expect(rotten.map(({ name }) => name)).toEqual([]);
    const idle = DECLARED.filter(
      (difference) =>
        !results.some(
          ({ declared, problem, expectsError }) => declared === difference && (problem !== undefined || expectsError),
        ),
    );
    expect(idle.map(({ name }) => name)).toEqual([]);
  });

  it('counts', () => {
    const passed = results.filter(({ declared }) => !declared).length;
    const lines = DIFFERENCES.map(({ reason }) => {
      const count = results.filter(({ declared }) => declared?.reason === reason).length;
      return `  ${String(count).padStart(4)}  ${reason}`;
    });
    console.log(
      `CEL conformance: ${passed} of ${CASES.length} cases pass, ${CASES.length - passed} are declared differences\n${lines.join('\n')}`,
    );
    expect(CASES.length).toBeGreaterThan(2000);
    expect(passed).toBeGreaterThan(1000);
  });
});
