/** The library's syntax errors in words that say what to do. */

import type { ParseError } from '@marcbachmann/cel-js';
import { ExpressionError } from './error.ts';

const TOKENS: ReadonlyMap<string, string> = new Map([
  ['EOF', 'the end'],
  ['NUMBER', 'a number'],
  ['STRING', 'a string'],
  ['BYTES', 'bytes'],
  ['BOOLEAN', 'true or false'],
  ['NULL', 'null'],
  ['IDENTIFIER', 'a name'],
  ['PLUS', '"+"'],
  ['MINUS', '"-"'],
  ['MULTIPLY', '"*"'],
  ['DIVIDE', '"/"'],
  ['MODULO', '"%"'],
  ['EQ', '"=="'],
  ['NE', '"!="'],
  ['LT', '"<"'],
  ['LE', '"<="'],
  ['GT', '">"'],
  ['GE', '">="'],
  ['AND', '"&&"'],
  ['OR', '"||"'],
  ['NOT', '"!"'],
  ['IN', '"in"'],
  ['LPAREN', '"("'],
  ['RPAREN', '")"'],
  ['LBRACKET', '"["'],
  ['RBRACKET', '"]"'],
  ['LBRACE', '"{"'],
  ['RBRACE', '"}"'],
  ['DOT', '"."'],
  ['COMMA', '","'],
  ['COLON', '":"'],
  ['QUESTION', '"?"'],
]);

const token = (name: string): string => TOKENS.get(name) ?? name;

/** What people write who come from another language, and what CEL writes. */
const WORDS: ReadonlyMap<string, string> = new Map([
  ['and', 'Write `&&`.'],
  ['or', 'Write `||`.'],
  ['not', 'Write `!`.'],
  ['is', 'Write `==`.'],
  ['eq', 'Write `==`.'],
  ['ne', 'Write `!=`.'],
  ['gt', 'Write `>`.'],
  ['gte', 'Write `>=`.'],
  ['lt', 'Write `<`.'],
  ['lte', 'Write `<=`.'],
]);

/** An {@link ExpressionError} for a syntax error of the library, at its place. */
export function syntaxError(error: ParseError, source: string, base: number): ExpressionError {
  const start = Math.min(error.range?.start ?? 0, source.length);
  const length = Math.max(Math.min(error.range?.end ?? start, source.length) - start, start < source.length ? 1 : 0);
  const message = wording(error, source, start);
  const hint = hintFor(error, source, start);
  return new ExpressionError(message, base + start, length, hint);
}

function wording(error: ParseError, source: string, start: number): string {
  const expected = /^Expected (\w+), got (\w+)$/.exec(error.summary);
  if (expected) {
    const [, wanted = '', got = ''] = expected;
    return got === 'EOF'
      ? `expected ${token(wanted)}, but the expression ends here`
      : `expected ${token(wanted)}, found ${found(got, source, start)}`;
  }
  const unexpected = /^Unexpected token: (\w+)$/.exec(error.summary)?.[1];
  if (unexpected !== undefined) {
    return unexpected === 'EOF'
      ? 'the expression ends where a value is expected'
      : `expected a value, found ${found(unexpected, source, start)}`;
  }
  if (error.code === 'unexpected_character') return `unexpected ${quoteAt(source, start)}`;
  if (error.code === 'limit_exceeded') return limitWording(error.summary);
  return error.summary.charAt(0).toLowerCase() + error.summary.slice(1);
}

const limitWording = (summary: string): string => {
  const [, name, limit] = /^Exceeded (\w+) \((\d+)\)$/.exec(summary) ?? [];
  if (name === 'maxDepth') return `the expression is nested deeper than ${limit} levels`;
  return `the expression is too large (${name ?? summary}: ${limit ?? ''})`;
};

const found = (name: string, source: string, start: number): string =>
  name === 'IDENTIFIER' || name === 'NUMBER' ? quoteAt(source, start) : token(name);

/** The word or the character at a place, in quotes. */
function quoteAt(source: string, start: number): string {
  const word = /^\w+/.exec(source.slice(start, start + 80))?.[0];
  return `"${word ?? String.fromCodePoint(source.codePointAt(start) ?? 0x20)}"`;
}

function hintFor(error: ParseError, source: string, start: number): string | undefined {
  const filter = hyphenatedFilter(source, start);
  if (filter !== undefined) return filter;
  const rest = source.slice(start);
  const before = source.slice(0, start).trimEnd();
  const word = /^\w+/.exec(rest)?.[0];
  if (error.code === 'reserved_identifier') return 'This word is reserved. Select a field of this name with ["…"].';
  if (word !== undefined && before !== '' && WORDS.has(word)) return WORDS.get(word);
  const previous = /\b\w+$/.exec(before)?.[0];
  if (previous !== undefined && WORDS.has(previous) && error.code === 'unexpected_character')
    return WORDS.get(previous);
  if (rest.startsWith('=')) {
    return /[=!]=$/.test(before) ? 'CEL compares with `==` and `!=`.' : 'To compare, write `==`.';
  }
  if (rest.startsWith('&')) return 'Write `&&`.';
  if (rest.startsWith('|')) return 'Write `||`.';
  if (source.trimStart().startsWith('{{') || rest.startsWith('$'))
    return 'Only text fields have `{{ }}`; this one is an expression as it is.';
  if (rest.startsWith('`') || /^[“”‘’]/.test(rest)) return `Strings stand in '…' or "…".`;
  if (before.endsWith('.') && word !== undefined) return `Write ["${word}"] for a field of this name.`;
  if (error.code === 'newline_in_string') return "A string of several lines stands in '''…'''.";
  if (error.code === 'invalid_escape_sequence') return 'For a backslash write `\\\\`, or a raw string: r"…".';
  return undefined;
}

/** `filters.not-test` is a subtraction, and `filters.not-in-eu` not even that. */
function hyphenatedFilter(source: string, near: number): string | undefined {
  for (const match of source.matchAll(/\bfilters\.(\w+(?:-\w+)+)/g)) {
    if (near >= match.index && near <= match.index + match[0].length) {
      return `"-" is a subtraction here. Write filters['${match[1]}'].`;
    }
  }
  return undefined;
}
