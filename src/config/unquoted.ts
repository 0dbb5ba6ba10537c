/** Finds expressions that were written without quotes and that YAML took apart, to say so in place of YAML's riddles. */
import type { SourceFile, Span } from './source.ts';

/** Marks of an expression, of `{{ }}` or of `${ }`. */
const EXPRESSION =
  /\b(?:event|events|msg|filters|state|error)\s*[.[]|&&|\|\||[=!<>]=|[<>]|\s\?\s|\w\(|^!\S|\{\{|\$\{|\sin\s/;

/** Whether a text reads like an expression or a template rather than like a plain value. */
export const looksLikeExpression = (text: string): boolean => EXPRESSION.test(text);

/** Whether brackets or quotes are opened and not closed, or the other way round. */
export function isUnbalanced(text: string): boolean {
  const open: string[] = [];
  const closers: Readonly<Record<string, string>> = { ')': '(', ']': '[', '}': '{' };
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? '';
    if (character === '"' || character === "'") {
      at = endOfQuote(text, at);
      if (at < 0) return true;
    } else if ('([{'.includes(character)) open.push(character);
    else if (closers[character] !== undefined && open.pop() !== closers[character]) return true;
  }
  return open.length > 0;
}

/** Where the quote that begins at `start` ends; -1 when it does not. */
function endOfQuote(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === text[start]) return at;
  }
  return -1;
}

/** The value that begins at `start`, up to the end of its line or, inside `{ }` and `[ ]`, of its entry. */
export function valueExtent(text: string, start: number, lineEnd: number, inFlow: boolean): Span {
  let depth = 0;
  let at = start;
  for (; at < lineEnd; at++) {
    const character = text[at] ?? '';
    if (character === '"' || character === "'") {
      const end = endOfQuote(text.slice(0, lineEnd), at);
      if (end >= 0) at = end;
    } else if ('([{'.includes(character)) depth++;
    else if (')]}'.includes(character)) {
      if (depth === 0 && inFlow && character !== ')') break;
      depth = Math.max(0, depth - 1);
    } else if (character === ',' && depth === 0 && inFlow) break;
    else if (character === '#' && depth === 0 && /\s/.test(text[at - 1] ?? '')) break;
  }
  const value = text.slice(start, at).replace(/[\s,]+$/, '');
  return { start, end: start + value.length };
}

/** A text in quotes of YAML, the kind that needs the fewest escapes. */
const quote = (text: string): string =>
  text.includes('"') || text.includes('\\') ? `'${text.replaceAll("'", "''")}'` : `"${text}"`;

/** What to do about it. */
export const quoteHint = (text: string): string =>
  `put it in quotes: ${quote(text.length > 100 ? `${text.slice(0, 99)}…` : text)}`;

/** Where an entry's value may begin: behind a key and its colon, or behind the dash of a list. */
const VALUE = /(?:(?:^|[{[,])\s*(?:-\s+)*|\s-\s+)(?:["']?([\w.$@/-]+)["']?\s*:\s+)?(?=\S)/g;

/** Keys whose value is an expression or text with `{{ }}`, whatever it looks like. */
const EXPRESSION_KEYS: ReadonlySet<string> = new Set(
  'filter when by order_by from key source give_up subject url message body id'.split(' '),
);

/**
 * The unquoted expression that a complaint of YAML at `offset` is about, if it reads like one.
 */
export function unquotedAt(file: SourceFile, offset: number): Span | undefined {
  const line = file.line(file.lineAt(Math.min(offset, file.text.length)));
  const text = file.text.slice(line.start, line.end);
  const position = offset - line.start;
  for (const match of text.matchAll(VALUE)) {
    const start = match.index + match[0].length;
    if (start > position) break;
    const inFlow = /[{[]/.test(text.slice(0, start).replace(/\{\{|\$\{/g, ''));
    const first = text[start];
    if ((first === '{' && text[start + 1] !== '{') || first === '[') {
      // A collection: what is complained about lies inside of it, or it is the beginning of an expression.
      const end = closingBracket(text, start);
      if (end < 0 || end >= position) continue;
    }
    const extent = valueExtent(text, start, text.length, inFlow);
    if (position > extent.end) continue;
    const value = text.slice(extent.start, extent.end);
    const [, key] = match;
    if (key === undefined && /^[\w-]+:\s/.test(value)) continue;
    if (looksLikeExpression(value) || (key !== undefined && EXPRESSION_KEYS.has(key)))
      return { start: line.start + extent.start, end: line.start + extent.end };
  }
  return undefined;
}

function closingBracket(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const character = text[at] ?? '';
    if (character === '"' || character === "'") {
      const end = endOfQuote(text, at);
      if (end >= 0) at = end;
    } else if ('([{'.includes(character)) depth++;
    else if (')]}'.includes(character) && --depth === 0) return at;
  }
  return -1;
}
