/** An expression, parsed and checked; bound to the filters that it names it can be evaluated. */

import type { Place } from '../errors.ts';
import type { Node } from './ast.ts';
import type { Evaluate, FilterReference } from './compile/compiler.ts';
import { compile, compilePart } from './compile/index.ts';
import { ENVIRONMENT } from './environment.ts';
import type { Environment } from './environment.ts';
import { ExpressionError, didYouMean } from './error.ts';
import { parse } from './parse.ts';
import type { ScopeKind } from './types.ts';

export type Filters = ReadonlyMap<string, Evaluate>;

/** A variable in the source. */
export interface VariableReference {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

interface Origin {
  readonly kind: ScopeKind;
  readonly environment: Environment;
  /** Where the source stands in a longer text; positions count from the start of that text. */
  readonly base: number;
}

export class Expression {
  readonly source: string;
  /** For `explain`, which shows the clauses of a condition with their values. */
  readonly ast: Node;
  /** What it refers to as `filters.x` or `filters['x']`, each reference once. */
  readonly filterNames: readonly FilterReference[];
  /** The variables that it reads itself, each where it stands first. */
  readonly variables: readonly VariableReference[];
  /** Where it stands in the configuration, set by who loads it. */
  place?: Place;
  private readonly origin: Origin;

  /** @throws ExpressionError for what cannot be parsed or refers to what does not exist (filters are looked at in {@link bind}). */
  constructor(source: string, origin: Origin) {
    this.source = source;
    this.origin = origin;
    this.ast = parse(source, origin.base);
    const references: FilterReference[] = [];
    const variables = new Map<string, VariableReference>();
    const filter = (reference: FilterReference): Evaluate => {
      references.push(reference);
      return () => false;
    };
    this.compile(compile, this.ast, filter, (name, { start, end }) => {
      if (!variables.has(name)) variables.set(name, { name, offset: start, length: end - start });
    });
    this.filterNames = references;
    this.variables = [...variables.values()];
  }

  /**
   * The expression ready to be evaluated. Named filters are looked up here, once.
   * @throws ExpressionError at the place of a filter that is not among those given.
   */
  bind(filters: Filters): Evaluate {
    return this.compile(compile, this.ast, (reference) => lookUp(reference, filters));
  }

  /**
   * A part of its tree ready to be evaluated, for `explain`.
   * @throws ExpressionError where the part alone means nothing: the inside of a loop, without the loop's variable.
   */
  bindPart(part: Node, filters: Filters): Evaluate {
    return this.compile(compilePart, part, (reference) => lookUp(reference, filters));
  }

  /** The text of a part of its tree. */
  textOf(part: Node): string {
    return this.source.slice(part.start - this.origin.base, part.end - this.origin.base);
  }

  private compile(
    how: typeof compile,
    root: Node,
    filter: (reference: FilterReference) => Evaluate,
    reads: (name: string, node: Node) => void = () => undefined,
  ): Evaluate {
    const { kind, environment, base } = this.origin;
    return how(root, {
      source: this.source,
      base,
      kind,
      environment,
      filter,
      reads,
      loops: false,
    });
  }
}

function lookUp(reference: FilterReference, filters: Filters): Evaluate {
  const filter = filters.get(reference.name);
  if (filter) return filter;
  const near = didYouMean(reference.name, filters.keys());
  const hint =
    near === undefined ? undefined : `Did you mean ${/^\w+$/.test(near) ? `filters.${near}` : `filters['${near}']`}?`;
  throw new ExpressionError(`there is no filter "${reference.name}"`, reference.offset, reference.length, hint);
}

/**
 * Parses and checks an expression for a field that sees `scope`.
 * @throws ExpressionError with the place in the source, and a hint where one is known.
 */
export function parseExpression(source: string, scope: ScopeKind, environment: Environment = ENVIRONMENT): Expression {
  return new Expression(source, { kind: scope, environment, base: 0 });
}

/** The same for a part of a longer text, in which positions then count. */
export function parseExpressionAt(source: string, scope: ScopeKind, base: number): Expression {
  return new Expression(source, { kind: scope, environment: ENVIRONMENT, base });
}
