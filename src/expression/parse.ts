/** Source → tree. The grammar is the library's (`@marcbachmann/cel-js`); nothing else of it is used. */

import { Environment, ParseError } from '@marcbachmann/cel-js';
import type { ASTNode } from '@marcbachmann/cel-js';
import type { BinaryOperator, LogicNode, Node } from './ast.ts';
import { ExpressionError } from './error.ts';
import { normal } from './numbers.ts';
import { syntaxError } from './syntax.ts';

const MAX_SOURCE_LENGTH = 10_000;
const MAX_DEPTH = 100;
const MAX_NODES = 5_000;

const grammar = new Environment({
  unlistedVariablesAreDyn: true,
  enableOptionalTypes: true,
  homogeneousAggregateLiterals: false,
  limits: { maxAstNodes: MAX_NODES, maxDepth: MAX_DEPTH, maxListElements: 1000, maxMapEntries: 1000 },
});

/**
 * Parses an expression. `base` is where it stands in a longer text (a template); all positions are shifted by it.
 * @throws ExpressionError for what is no expression, is too long (10,000 characters) or nested too deep (100 levels).
 */
export function parse(source: string, base = 0): Node {
  if (source.trim() === '') throw new ExpressionError('the expression is empty', base, source.length);
  if (source.length > MAX_SOURCE_LENGTH) {
    throw new ExpressionError(
      `the expression is longer than ${MAX_SOURCE_LENGTH} characters`,
      base + MAX_SOURCE_LENGTH,
      source.length - MAX_SOURCE_LENGTH,
      'Name parts of it as filters.',
    );
  }
  let root: ASTNode;
  try {
    root = grammar.parse(source).ast;
  } catch (error) {
    if (error instanceof ParseError) throw syntaxError(error, source, base);
    if (error instanceof RangeError) throw tooDeep(base, source.length);
    throw error;
  }
  return new Reader(source, base).read(root, 0);
}

const tooDeep = (offset: number, length: number): ExpressionError =>
  new ExpressionError(`the expression is nested deeper than ${MAX_DEPTH} levels`, offset, length);

const BINARY: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>=', '+', '-', '*', '/', '%', 'in']);
const isBinary = (operator: string): operator is BinaryOperator => BINARY.has(operator);

class Reader {
  readonly source: string;
  readonly base: number;

  constructor(source: string, base: number) {
    this.source = source;
    this.base = base;
  }

  read(node: ASTNode, depth: number): Node {
    const span = { start: node.start + this.base, end: node.end + this.base };
    if (depth > MAX_DEPTH) throw tooDeep(span.start, span.end - span.start);
    const next = (child: ASTNode): Node => this.read(child, depth + 1);
    switch (node.op) {
      case 'value':
        return { kind: 'literal', value: this.literal(node.args, node.start, node.end), ...span };
      case 'id':
        return { kind: 'name', name: node.args, ...span };
      case '.':
      case '.?': {
        const [target, field] = node.args;
        const fieldStart = span.end - field.length;
        return { kind: 'select', target: next(target), field, fieldStart, optional: node.op === '.?', ...span };
      }
      case '[]':
      case '[?]': {
        const [target, index] = node.args;
        return { kind: 'index', target: next(target), index: next(index), optional: node.op === '[?]', ...span };
      }
      case 'call': {
        const [name, args] = node.args;
        return { kind: 'call', name, nameStart: span.start, target: undefined, args: args.map(next), ...span };
      }
      case 'rcall': {
        const [name, receiver, args] = node.args;
        const target = next(receiver);
        const nameStart = this.source.indexOf(name, target.end - this.base) + this.base;
        return { kind: 'call', name, nameStart, target, args: args.map(next), ...span };
      }
      case 'list':
        return { kind: 'list', items: node.args.map(next), ...span };
      case 'map':
        return { kind: 'map', entries: node.args.map(([key, value]) => [next(key), next(value)] as const), ...span };
      case '?:': {
        const [condition, yes, no] = node.args;
        return { kind: 'conditional', condition: next(condition), yes: next(yes), no: next(no), ...span };
      }
      case '&&':
      case '||':
        return this.logic(node, depth);
      case '!_':
        return { kind: 'not', operand: next(node.args), ...span };
      case '-_':
        return { kind: 'negate', operand: next(node.args), ...span };
      default: {
        if (!isBinary(node.op)) throw new ExpressionError('this is not supported', span.start, 1);
        const [left, right] = node.args;
        return { kind: 'binary', operator: node.op, left: next(left), right: next(right), ...span };
      }
    }
  }

  /** `a && b && c` is a list, however long: the grammar's tree leans to the left and gets deep. */
  private logic(node: ASTNode & { readonly op: '&&' | '||' }, depth: number): LogicNode {
    const clauses: ASTNode[] = [];
    let rest: ASTNode = node;
    while (rest.op === node.op) {
      const [left, right]: readonly [ASTNode, ASTNode] = rest.args;
      clauses.push(right);
      rest = left;
    }
    clauses.push(rest);
    return {
      kind: node.op === '&&' ? 'and' : 'or',
      clauses: clauses.reverse().map((clause) => this.read(clause, depth + 1)),
      start: node.start + this.base,
      end: node.end + this.base,
    };
  }

  private literal(value: unknown, start: number, end: number): unknown {
    if (typeof value === 'bigint') return normal(value);
    if (value instanceof Uint8Array) return this.bytes(value, start, end);
    // The library's unsigned integer: a number like any other here.
    if (typeof value === 'object' && value !== null && 'value' in value) {
      return typeof value.value === 'bigint' ? normal(value.value) : value;
    }
    return value;
  }

  /** The library takes a character of a bytes literal for one byte; CEL says it is UTF-8. */
  private bytes(value: Uint8Array, start: number, end: number): Uint8Array {
    const text = this.source.slice(start, end);
    const quotes = /^[bB]("""|'''|"|')/.exec(text)?.[1];
    // Escapes give bytes below 256 each, which the library reads well; only unescaped text beyond ASCII is wrong.
    if (quotes === undefined || !/[^\0-\x7f]/.test(text)) return value;
    const encoder = new TextEncoder();
    const parts: number[] = [];
    let escaped = 0;
    const body = text.slice(1 + quotes.length, text.length - quotes.length);
    for (const [piece] of body.matchAll(/\\(?:[xX][0-9a-fA-F]{2}|[0-7]{3}|.)|[^\\]/gsu)) {
      const length = piece.startsWith('\\') ? 1 : piece.length;
      if (piece.startsWith('\\')) parts.push(value[escaped] ?? 0);
      else parts.push(...encoder.encode(piece));
      escaped += length;
    }
    return Uint8Array.from(parts);
  }
}
