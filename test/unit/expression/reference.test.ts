/** Runs the examples of docs/reference/expressions.md, and holds its tables against the functions and variables that there are. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { ENVIRONMENT } from '../../../src/expression/environment.ts';
import { FUNCTIONS } from '../../../src/expression/functions/index.ts';
import {
  ExpressionError,
  configureHash,
  isFault,
  parseExpression,
  parsePath,
  parseTemplate,
  toJson,
  toJsonText,
} from '../../../src/expression/index.ts';
import { isRecord } from './cel-values.ts';
import { scopeOf } from './helpers.ts';

const PAGE = readFileSync(new URL('../../../docs/reference/expressions.md', import.meta.url), 'utf8');

/** The rows of all tables that have these columns, as records. */
function rows(...columns: readonly string[]): Record<string, string>[] {
  const found: Record<string, string>[] = [];
  let header: readonly string[] | undefined;
  for (const line of PAGE.split('\n')) {
    if (!line.startsWith('|')) {
      header = undefined;
      continue;
    }
    const cells = line
      .slice(1)
      .split(/(?<!\\)\|/)
      .slice(0, -1)
      .map((cell) => cell.trim().replaceAll('\\|', '|'));
    if (!header) header = cells;
    else if (!cells.every((cell) => /^:?-+:?$/.test(cell)) && columns.every((column) => header?.includes(column))) {
      found.push(Object.fromEntries(header.map((name, index) => [name, cells[index] ?? ''])));
    }
  }
  return found;
}

const code = (cell = ''): string => /^`` (.*) ``$/s.exec(cell)?.[1] ?? /`(.*)`/s.exec(cell)?.[1] ?? '';

const EVENT: unknown = JSON.parse(/```json event\n(.*?)```/s.exec(PAGE)?.[1] ?? 'null', (_key, value: unknown) =>
  value === 9007199254740992 ? 9007199254740993n : value,
);
if (!isRecord(EVENT)) throw new Error('the page has no event');
const SCOPE = scopeOf(EVENT['data']);
const FILTERS = new Map([
  ['not-test', () => true],
  ['big', () => true],
]);

/** What a cell of the page says about an answer. */
function check(answer: unknown, cell: string): void {
  if (cell === 'nothing') expect(answer).toBeUndefined();
  else if (cell.startsWith('missing field')) expect(answer).toMatchObject({ kind: 'missing_field', path: code(cell) });
  else if (cell.startsWith('fault: ')) {
    expect(answer).toMatchObject({ kind: 'evaluation' });
    expect(isFault(answer) && answer.message).toContain(cell.slice('fault: '.length));
  } else {
    expect(isFault(answer) ? answer.message : toJsonText(answer, true)).toBe(canonical(code(cell)));
  }
}

const canonical = (text: string): string => (/^\d{16}$/.test(text) ? text : toJsonText(JSON.parse(text), true));

describe('the examples of the reference', () => {
  beforeAll(() => configureHash((text) => createHash('sha256').update(text).digest('hex')));

  const expressions = rows('Expression', 'Result');
  it('are found', () => expect(expressions.length).toBeGreaterThan(100));

  it.each(expressions)('$Expression', ({ Expression: source, Result: result = '' }) => {
    const answer = parseExpression(code(source), 'event').bind(FILTERS)(SCOPE);
    check(isFault(answer) ? answer : toJson(answer), result);
  });

  it.each(rows('Template', 'Value'))('$Template', ({ Template: source, Value: value = '' }) => {
    check(parseTemplate(code(source), 'event').bind(FILTERS).value(SCOPE), value);
  });

  it.each(rows('Path', 'Parts'))('$Path', ({ Path: source, Parts: parts }) => {
    expect(parsePath(code(source)).segments).toEqual(JSON.parse(code(parts)));
  });

  it.each(rows('Expression', 'Refused', 'Hint'))(
    '$Expression is refused',
    ({ Expression: source, Refused: message, Hint: hint }) => {
      try {
        parseExpression(code(source), 'event');
      } catch (error) {
        if (!(error instanceof ExpressionError)) throw error;
        expect([error.message, error.hint]).toEqual([code(message), code(hint)]);
        return;
      }
      throw new Error('not refused');
    },
  );
});

describe('the tables of the reference', () => {
  it('have every function, and no other, with the way it is called', () => {
    const listed = rows('Function', 'Result').map(({ Function: cell }) => cell?.replaceAll('`', ''));
    expect(new Set(listed)).toEqual(new Set([...FUNCTIONS.values()].map(({ name, form }) => `${name} ${form}`)));
  });

  it('have every variable', () => {
    const listed = rows('Variable', 'What it is');
    expect(listed.map(({ Variable: cell }) => code(cell)).sort()).toEqual([...ENVIRONMENT.keys(), 'filters'].sort());
    for (const [name, { attributes }] of ENVIRONMENT) {
      const text = listed.find(({ Variable: cell }) => code(cell) === name)?.['What it is'] ?? '';
      for (const attribute of attributes?.keys() ?? []) expect(text).toContain(`\`${attribute}\``);
    }
  });
});
