/** Text with `{{ expression }}` in it. */

import type { Place } from '../errors.ts';
import type { Evaluate, FilterReference } from './compile/compiler.ts';
import { ExpressionError } from './error.ts';
import { parseExpressionAt } from './expression.ts';
import type { Expression, Filters, VariableReference } from './expression.ts';
import { Fault, Site, guardDepth } from './fault.ts';
import { toJson, toText } from './json.ts';
import { MAX_STRING } from './limits.ts';
import type { Scope, ScopeKind } from './types.ts';

export interface BoundTemplate {
  /** A lone `{{ e }}` keeps its type, as a JSON value (undefined for an empty optional); everything else is text. A Fault when it has no value. */
  value(scope: Scope): unknown;
  /**
   * Always text, or a Fault. `check` is asked about the text of every `{{ }}`; what it refuses is a Fault that
   * shows the text. `encode` makes of that text what is put in.
   */
  text(scope: Scope, check?: (value: string) => boolean, encode?: (value: string) => string): string | Fault;
}

type Part = string | Expression;

export class Template {
  readonly source: string;
  /** The text, if it has no `{{ }}`. */
  readonly constant: string | undefined;
  readonly filterNames: readonly FilterReference[];
  readonly variables: readonly VariableReference[];
  /** Where it stands in the configuration, set by who loads it. */
  place?: Place;
  private readonly parts: readonly Part[];

  /** @throws ExpressionError as {@link parseTemplate}. */
  constructor(source: string, scope: ScopeKind) {
    this.source = source;
    this.parts = split(source, scope);
    this.constant = this.parts.every((part) => typeof part === 'string') ? this.parts.join('') : undefined;
    this.filterNames = this.parts.flatMap((part) => (typeof part === 'string' ? [] : part.filterNames));
    this.variables = this.parts.flatMap((part) => (typeof part === 'string' ? [] : part.variables));
  }

  /** The text with something else in place of each `{{ }}`. */
  skeleton(placeholder: string): string {
    return this.parts.map((part) => (typeof part === 'string' ? part : placeholder)).join('');
  }

  /** @throws ExpressionError at the place of a filter that is not among those given. */
  bind(filters: Filters): BoundTemplate {
    const { constant } = this;
    if (constant !== undefined) return { value: () => constant, text: () => constant };
    const bound = this.parts.map((part) => (typeof part === 'string' ? part : bindPart(part, filters)));
    const text: BoundTemplate['text'] = (scope, check, encode) => textOf(bound, scope, check, encode);
    const [only] = bound;
    if (bound.length !== 1 || only === undefined || typeof only === 'string')
      return { value: (scope) => text(scope), text };
    return { value: (scope) => valueOf(only, scope), text };
  }
}

interface BoundPart {
  readonly run: Evaluate;
  readonly site: Site;
}

function bindPart(part: Expression, filters: Filters): BoundPart {
  return { run: part.bind(filters), site: new Site(part.ast.start, part.ast.end - part.ast.start) };
}

function valueOf(part: BoundPart, scope: Scope): unknown {
  const value = part.run(scope);
  return value instanceof Fault || typeof value === 'string' ? value : guardDepth(part.site, () => toJson(value));
}

function textOf(
  parts: readonly (string | BoundPart)[],
  scope: Scope,
  check: ((value: string) => boolean) | undefined,
  encode: ((value: string) => string) | undefined,
): string | Fault {
  let text = '';
  for (const part of parts) {
    if (typeof part === 'string') {
      text += part;
      continue;
    }
    const value = part.run(scope);
    if (value instanceof Fault) return value;
    const piece = typeof value === 'string' ? value : textOfValue(value, part.site);
    if (piece instanceof Fault) return piece;
    if (check && !check(piece)) return part.site.fault(`${JSON.stringify(shorten(piece))} is not allowed here`, value);
    text += encode === undefined ? piece : encode(piece);
    if (text.length > MAX_STRING) return part.site.fault(`the text is longer than ${MAX_STRING} characters`);
  }
  return text;
}

function textOfValue(value: unknown, site: Site): string | Fault {
  const text = guardDepth(site, () => toText(value));
  return typeof text === 'string' || text instanceof Fault ? text : String(text);
}

const shorten = (text: string): string => (text.length > 80 ? `${text.slice(0, 79)}…` : text);

function split(source: string, scope: ScopeKind): readonly Part[] {
  const parts: Part[] = [];
  let position = 0;
  for (;;) {
    const open = source.indexOf('{{', position);
    if (open < 0) break;
    if (open > position) parts.push(source.slice(position, open));
    const close = closing(source, open + 2);
    if (close < 0) {
      throw new ExpressionError(
        '"{{" is not closed',
        open,
        source.length - open,
        'Close it with "}}". A literal "{{" is written {{ "{{" }}.',
      );
    }
    parts.push(parseExpressionAt(source.slice(open + 2, close), scope, open + 2));
    position = close + 2;
  }
  if (position < source.length || parts.length === 0) parts.push(source.slice(position));
  return parts;
}

/** Where the `}}` stands that closes an expression: not one inside of its strings, maps or comments. -1 when there is none. */
function closing(source: string, start: number): number {
  let depth = 0;
  let position = start;
  while (position < source.length) {
    const rest = /^(?:"""|'''|["'])/.exec(source.slice(position, position + 3))?.[0];
    if (rest !== undefined) {
      position = endOfString(source, position, rest);
    } else if (source.startsWith('//', position)) {
      const end = source.indexOf('\n', position);
      position = end < 0 ? source.length : end;
    } else if (source[position] === '{') {
      depth++;
      position++;
    } else if (source[position] === '}') {
      if (depth === 0 && source[position + 1] === '}') return position;
      depth = Math.max(0, depth - 1);
      position++;
    } else {
      position++;
    }
  }
  return -1;
}

function endOfString(source: string, start: number, quotes: string): number {
  let position = start + quotes.length;
  while (position < source.length) {
    if (source[position] === '\\') position += 2;
    else if (source.startsWith(quotes, position)) return position + quotes.length;
    else position++;
  }
  return source.length;
}

/**
 * Parses text with `{{ expression }}`. A literal `{{` is written `{{ "{{" }}`.
 * @throws ExpressionError with positions in the whole text.
 */
export function parseTemplate(source: string, scope: ScopeKind): Template {
  return new Template(source, scope);
}
