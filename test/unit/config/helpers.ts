import { expect, it } from 'vitest';
import { ConfigError, type ConfigProblem, type LoadedConfig, parseConfig } from '../../../src/config/load.ts';

type Environment = Readonly<Record<string, string>>;

interface Files {
  readonly env?: Environment;
  /** Content by absolute path. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

/** Parses a text as `/etc/test/ouzel.yaml`, shown as `ouzel.yaml`. */
export function parse(text: string, { env = {}, files = {} }: Files = {}): LoadedConfig {
  return parseConfig(text, '/etc/test/ouzel.yaml', {
    env,
    cwd: '/etc/test',
    readFile: (path) => {
      const content = files[path];
      if (content === undefined) throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' });
      return typeof content === 'string' ? new TextEncoder().encode(content) : content;
    },
  });
}

/** The error of a text that must not load. Anything but a ConfigError fails the test. */
export function failureOf(text: string, options?: Files): ConfigError {
  try {
    parse(text, options);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error(`this loads:\n${text}`);
}

export const problemsIn = (text: string, options?: Files): readonly ConfigProblem[] =>
  failureOf(text, options).problems;

/** The part of the excerpt that the caret is under. */
const marked = ({ excerpt }: ConfigProblem): string =>
  excerpt?.text.slice(excerpt.indent, excerpt.indent + excerpt.width) ?? '';

/** `2:1 CONFIG_UNKNOWN_KEY «filtres»`. */
export const brief = (problem: ConfigProblem): string =>
  `${problem.place?.line}:${problem.place?.column} ${problem.code} «${marked(problem)}»`;

/** A file, the problems it must have (in order), and what message and hint of the first must say. */
export type Case = readonly [name: string, text: string, problems: readonly string[], says?: RegExp, hint?: RegExp];

/** A test for each case. */
export function checkAll(cases: readonly Case[]): void {
  it.each(cases.map((each) => ({ name: each[0], each })))('$name', ({ each: [, text, expected, says = /./, hint] }) => {
    const problems = problemsIn(text);
    expect(problems.map(brief)).toEqual(expected);
    expect(problems[0]?.message).toMatch(says);
    if (hint !== undefined) expect(problems[0]?.hint).toMatch(hint);
  });
}
