/**
 * Why a condition is what it is for one event: the clauses of its `&&`, `||`, `!` and `? :`, named filters opened, each
 * with its value and the fields that it read.
 */

import type { Node } from './ast.ts';
import { FILTERS } from './environment.ts';
import { ExpressionError } from './error.ts';
import type { Expression, Filters } from './expression.ts';
import { Fault } from './fault.ts';
import { toJson } from './json.ts';
import type { Scope } from './types.ts';
import { CelType } from './values.ts';

/** A value as JSON (absent where an optional is empty), or why there is none. */
export interface Answer {
  readonly value?: unknown;
  readonly fault?: {
    readonly kind: 'missing_field' | 'evaluation';
    readonly message: string;
    /** The field that is not there, as the configuration writes it. */
    readonly path?: string;
    /** The value that did not fit. */
    readonly value?: unknown;
    /** Where in the source it stands. */
    readonly offset: number;
    readonly length: number;
  };
}

/** A field that a clause read. */
export interface Read extends Answer {
  readonly text: string;
}

export interface Clause extends Answer {
  /** `all`: `&&`; `any`: `||`; `choice`: `? :`, with the condition and the side it took; `filter`: a named one. */
  readonly kind: 'all' | 'any' | 'not' | 'choice' | 'filter' | 'test';
  readonly text: string;
  /** Whether the value of what it is a part of follows from it. */
  readonly decisive: boolean;
  readonly clauses: readonly Clause[];
  readonly reads: readonly Read[];
}

/** The named filters: as they are evaluated, and as they are written. */
export interface NamedFilters {
  readonly bound: Filters;
  readonly sources: Readonly<Record<string, Expression>>;
}

/** Fields shown of one clause, at most. */
const MAX_READS = 20;

/** Explains a condition. Evaluates its parts anew, in `scope` as it is now. */
export function explainExpression(expression: Expression, filters: NamedFilters, scope: Scope): Clause {
  return new Explainer(expression, filters, scope).clause(expression.ast, true);
}

class Explainer {
  readonly #expression: Expression;
  readonly #filters: NamedFilters;
  readonly #scope: Scope;

  constructor(expression: Expression, filters: NamedFilters, scope: Scope) {
    this.#expression = expression;
    this.#filters = filters;
    this.#scope = scope;
  }

  clause(node: Node, decisive: boolean): Clause {
    const base = { text: this.#expression.textOf(node), decisive, ...this.#answer(node) };
    switch (node.kind) {
      case 'and':
        return { kind: 'all', ...base, clauses: this.#chain(node.clauses, false), reads: [] };
      case 'or':
        return { kind: 'any', ...base, clauses: this.#chain(node.clauses, true), reads: [] };
      case 'conditional': {
        const condition = this.clause(node.condition, true);
        const side = condition.value === true ? node.yes : condition.value === false ? node.no : undefined;
        const clauses = side === undefined ? [condition] : [condition, this.clause(side, true)];
        return { kind: 'choice', ...base, clauses, reads: [] };
      }
      case 'not': {
        const operand = this.clause(node.operand, true);
        if (operand.kind !== 'test') return { kind: 'not', ...base, clauses: [operand], reads: [] };
        return { kind: 'test', ...base, clauses: [], reads: operand.reads };
      }
      default: {
        const named = this.#filter(node);
        if (named === undefined) return { kind: 'test', ...base, clauses: [], reads: this.#reads(node) };
        return { kind: 'filter', ...base, clauses: [explainExpression(named, this.#filters, this.#scope)], reads: [] };
      }
    }
  }

  /** @param decides The value of one clause that settles the whole. */
  #chain(nodes: readonly Node[], decides: boolean): readonly Clause[] {
    const clauses = nodes.map((node) => this.clause(node, true));
    let decisive = clauses.findIndex(({ value }) => value === decides);
    if (decisive < 0) decisive = clauses.findIndex(({ value }) => value !== !decides);
    if (decisive < 0) return clauses;
    return clauses.map((clause, index) => (index === decisive ? clause : { ...clause, decisive: false }));
  }

  #filter(node: Node): Expression | undefined {
    if ((node.kind !== 'select' && node.kind !== 'index') || node.target.kind !== 'name') return undefined;
    if (node.target.name !== FILTERS) return undefined;
    const name = node.kind === 'select' ? node.field : node.index.kind === 'literal' ? node.index.value : undefined;
    const { sources } = this.#filters;
    return typeof name === 'string' && Object.hasOwn(sources, name) ? sources[name] : undefined;
  }

  #answer(node: Node): Answer {
    try {
      return answerOf(this.#expression.bindPart(node, this.#filters.bound)(this.#scope));
    } catch (error) {
      const { message } = error as Error;
      return { fault: { kind: 'evaluation', message, offset: node.start, length: node.end - node.start } };
    }
  }

  #reads(node: Node): readonly Read[] {
    const found = new Map<string, Read>();
    for (const chain of chains(node, new Set())) {
      const text = this.#expression.textOf(chain);
      if (found.has(text) || found.size >= MAX_READS) continue;
      let value: unknown;
      try {
        value = this.#expression.bindPart(chain, this.#filters.bound)(this.#scope);
      } catch (error) {
        // A name that stands for no value by itself: `cel` in cel.bind, a type.
        if (error instanceof ExpressionError) continue;
        value = new Fault('evaluation', (error as Error).message, chain.start, chain.end - chain.start);
      }
      if (!(value instanceof CelType)) found.set(text, { text, ...answerOf(value) });
    }
    return [...found.values()];
  }
}

function answerOf(value: unknown): Answer {
  if (!(value instanceof Fault)) {
    const json = jsonOf(value);
    return json === undefined ? {} : { value: json };
  }
  const { kind, message, path, offset, length } = value;
  return {
    fault: {
      kind,
      message,
      ...(path === undefined ? {} : { path }),
      ...(value.value === undefined ? {} : { value: jsonOf(value.value) }),
      offset,
      length,
    },
  };
}

function jsonOf(value: unknown): unknown {
  try {
    return toJson(value);
  } catch {
    return 'a value that is nested too deep';
  }
}

/** The chains of fields below a node (`event.data.total`), each as long as it is; what a loop's variable is part of is left out. */
function* chains(node: Node, locals: ReadonlySet<string>): Generator<Node> {
  switch (node.kind) {
    case 'literal':
      return;
    case 'name':
      if (!locals.has(node.name)) yield node;
      return;
    case 'select':
    case 'index': {
      let root: Node = node;
      const indexes: Node[] = [];
      while (root.kind === 'select' || root.kind === 'index') {
        if (root.kind === 'index') indexes.push(root.index);
        root = root.target;
      }
      if (root.kind === 'name') {
        if (root.name !== FILTERS && !locals.has(root.name) && !indexes.some((index) => mentions(index, locals)))
          yield node;
      } else yield* chains(root, locals);
      for (const index of indexes) yield* chains(index, locals);
      return;
    }
    case 'call': {
      if (node.target !== undefined) yield* chains(node.target, locals);
      const within = node.target === undefined ? locals : new Set([...locals, ...variables(node.args)]);
      for (const arg of node.args) yield* chains(arg, within);
      return;
    }
    default:
      for (const child of children(node)) yield* chains(child, locals);
  }
}

/** The variables of a loop, by their position: names in front of an expression. */
function variables(args: readonly Node[]): string[] {
  const names: string[] = [];
  for (const arg of args.slice(0, -1)) {
    if (arg.kind !== 'name') break;
    names.push(arg.name);
  }
  return names;
}

function mentions(node: Node, locals: ReadonlySet<string>): boolean {
  if (node.kind === 'name') return locals.has(node.name);
  return children(node).some((child) => mentions(child, locals));
}

function children(node: Node): readonly Node[] {
  switch (node.kind) {
    case 'literal':
    case 'name':
      return [];
    case 'select':
      return [node.target];
    case 'index':
      return [node.target, node.index];
    case 'call':
      return node.target === undefined ? node.args : [node.target, ...node.args];
    case 'list':
      return node.items;
    case 'map':
      return node.entries.flat();
    case 'conditional':
      return [node.condition, node.yes, node.no];
    case 'and':
    case 'or':
      return node.clauses;
    case 'not':
    case 'negate':
      return [node.operand];
    case 'binary':
      return [node.left, node.right];
  }
}
