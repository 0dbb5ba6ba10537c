import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type FileEntry, entriesOf, inFiles } from '../../../src/config/entries.ts';
import { ConfigError, type ConfigProblem, renderProblems } from '../../../src/config/problems.ts';
import { SourceFile } from '../../../src/config/source.ts';

const split = (text: string, name = 'fleet.yaml'): FileEntry[] => entriesOf([new SourceFile(name, text)]);
const texts = (text: string): Record<string, string> =>
  Object.fromEntries(split(text).map((each) => [`${each.section}/${each.name}`, each.text]));

/** What is refused, as it is shown. */
function refusal(...files: string[]): string {
  try {
    entriesOf(files.map((text, index) => new SourceFile(`${index}.yaml`, text)));
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('it was taken');
}

describe('an entry is its own text', () => {
  test('with the comments above, beside, in and below it, and without those of others', () => {
    expect(
      texts(`version: 1
# Of the section.

# Two lines
# of its own.
consumers:
  # Not right above.

  # Right above.
  billing: # beside
    stream: EVENTS # in
    # between
    deliver:
      - to: log
    # below

  # Of shipping.
  shipping:
    stream: EVENTS
# Of nobody.
filters:
  big: event.data.total > 1000 # euros
`),
    ).toEqual({
      'consumers/billing': `# Right above.
# beside
stream: EVENTS # in
# between
deliver:
  - to: log
# below
`,
      'consumers/shipping': '# Of shipping.\nstream: EVENTS\n',
      'filters/big': 'event.data.total > 1000 # euros\n',
    });
  });

  test('in flow style, on one line or several', () => {
    expect(
      texts(`filters: { big: event.data.total > 1000, "small": '!filters.big' }
targets:
  there: { publish: { subject: out.a },
    timeout: 5s } # slow
`),
    ).toEqual({
      'filters/big': 'event.data.total > 1000\n',
      'filters/small': "'!filters.big'\n",
      'targets/there': '{ publish: { subject: out.a },\n  timeout: 5s } # slow\n',
    });
    const json = JSON.stringify({ filters: { a: 'event.data.n > 1' }, targets: { b: { log: {} } } }, null, 2);
    expect(texts(json)).toEqual({ 'filters/a': '"event.data.n > 1"\n', 'targets/b': '{\n  "log": {}\n}\n' });
  });

  test.each([
    ['a literal block', 'filters:\n    a: |\n        event.data.n\n          > 1\n    b: x\n'],
    ['a folded block that keeps its end', 'filters:\n  a: >+\n    event.data.n > 1\n\n\n  b: x\n'],
    ['a plain scalar of several lines', 'filters:\n  a: event.data.n\n     > 1\n  b: x\n'],
    ['a quoted scalar of several lines', 'filters:\n  a: "event.data.n\n    > 1\n\n    "\n  b: x\n'],
    ['a list that is not indented', 'consumers:\n  a:\n    pipeline:\n    - x\n    - y\n'],
    ['CRLF', 'consumers:\r\n  a:\r\n    stream: S\r\n    # note\r\n    subjects: [x]\r\n'],
    ['comments at the margin', 'consumers:\n  a:\n    stream: S\n# was: 5s\n    ack_wait: 6s\n'],
    ['an anchor of its own', 'consumers:\n  a: &a\n    stream: S\n    pipeline: &p [x]\n    more: *p\n'],
    [
      'aliases of what stands elsewhere',
      'filters: { x: &f "a > b" }\nconsumers:\n  a: { pipeline: [{ filter: *f }] }\n',
    ],
    ['a merge', 'targets:\n  a: &b\n    log: {}\n  c:\n    <<: *b\n    timeout: 5s\n'],
    ['a hash in a string', 'filters:\n  a: \'x == "#1"\'\n  b: event.data.a == "x#y"\n'],
    ['no line end at the end', 'filters:\n  a: event.data.n > 1'],
    ['nothing behind the name', 'targets:\n  a:\n  b: { log: {} }\n'],
    ['a name in quotes, with a colon in its value', 'filters:\n  "a": \'x == "b: c"\'\n'],
  ])('that says the same: %s', (_name, text) => {
    const whole = parse(text, { merge: true }) as Record<string, Record<string, unknown>>;
    const entries = split(text);
    const expected = Object.entries(whole).flatMap(([section, of]) =>
      Object.entries(of).map(([name, value]) => [section, name, value]),
    );
    expect(entries.map(({ section, name, text: own }) => [section, name, parse(own) as unknown])).toEqual(expected);
  });

  test('a text that says the same is a part of the file, line by line', () => {
    const file = 'filters:\n  ä: "x"\nconsumers:\n  b: # note\n      stream: "S"\n      # ü\n      pipeline: [a]\n';
    const fixed = file.replace('ä', 'a');
    const lines = fixed.split('\n');
    for (const { text, lines: origins } of split(fixed))
      for (const [index, line] of text.trimEnd().split('\n').entries()) {
        const origin = origins[index] ?? { line: 0, cut: 0 };
        expect(lines[origin.line - 1]?.slice(origin.cut)).toBe(line);
      }
  });
});

describe('what cannot be taken apart is refused with its place', () => {
  test('sections that stay in the file, and those that do not exist', () => {
    const shown = refusal('version: 1\nstreams: { A: { subjects: [a] } }\nconsumer: {}\nfilters: [a]\n');
    expect(shown).toContain(`0.yaml:2:1  CONFIG_INVALID_VALUE  "streams" stays in each instance's file`);
    expect(shown).toContain('0.yaml:3:1  CONFIG_UNKNOWN_KEY  there is no section "consumer"');
    expect(shown).toContain('did you mean "consumers"?');
    expect(shown).toContain('0.yaml:4:1  CONFIG_INVALID_VALUE  "filters" is a mapping of names to entries');
  });

  test('names that stand twice, or cannot be one', () => {
    const shown = refusal('filters: { a: x, "b c": y }\n', 'filters:\n  a: z\n');
    expect(shown).toMatch(/1\.yaml:2:3 {2}CONFIG_DUPLICATE_NAME[^]*the other is 0\.yaml:1:12/);
    expect(shown).toContain('0.yaml:1:18  CONFIG_INVALID_VALUE  "b c" cannot be a name');
  });

  test('YAML that cannot be read, a version of another format, and nothing at all', () => {
    expect(refusal('filters: { a: "x\n')).toContain('0.yaml:1:15  CONFIG_SYNTAX');
    expect(refusal('version: 2\n')).toContain('0.yaml:1:10  CONFIG_VERSION');
    expect(refusal('# nothing\n')).toContain('CONFIG_EMPTY');
    expect(refusal('- a\n')).toContain('a configuration is a mapping of sections');
    expect(split('consumers: {}\n')).toEqual([]);
  });
});

describe('what somebody finds in a text is shown in the file', () => {
  const problem = (file: string, line: number, column: number, width = 1): ConfigProblem => ({
    code: 'CONFIG_EXPRESSION',
    place: { file, line, column },
    message: `here: fleet:filters/small:1:2`,
    hint: undefined,
    path: 'a.b',
    excerpt: { line, text: '', indent: 0, width },
  });
  const FILE = `filters: { big: event.data.tötal >> 1, small: "x >" }
consumers:
  # Above.
  billing: # beside
      stream: EVENTS
      pipeline: [ü, nowhere]
  alias: { pipeline: &p [a] }
  other: { pipeline: *p }
`;
  const shown = (...args: Parameters<typeof problem>): string =>
    renderProblems(inFiles([problem(...args)], split(FILE)));

  test('in flow and block style, behind comments, with as many carets', () => {
    expect(shown('fleet:filters/big', 1, 18, 2)).toContain('fleet.yaml:1:34  CONFIG_EXPRESSION');
    expect(shown('fleet:filters/big', 1, 18, 2)).toMatch(/\n +\| {34}\^\^\n/);
    expect(shown('fleet:consumers/billing', 3, 1, 6)).toContain('fleet.yaml:5:7');
    expect(shown('fleet:consumers/billing', 4, 15, 7)).toContain('fleet.yaml:6:21');
    expect(shown('fleet:consumers/billing', 4, 15, 7)).toContain(
      `6 |       pipeline: [ü, nowhere]\n    |${' '.repeat(21)}^^^^^^^\n`,
    );
  });

  test('places in messages too; at its name where the text was written anew', () => {
    expect(shown('fleet:filters/big', 1, 1)).toContain('here: fleet.yaml:1:48');
    expect(shown('fleet:consumers/other', 1, 1)).toContain('fleet.yaml:8:3');
    expect(shown('fleet:consumers/foreign', 1, 1)).toContain('fleet:consumers/foreign:1:1');
  });
});
