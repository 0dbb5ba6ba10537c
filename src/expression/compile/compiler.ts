/** What every part of the compiler works with. */

import type { Node } from '../ast.ts';
import type { Environment, Variable } from '../environment.ts';
import { ExpressionError } from '../error.ts';
import { Site } from '../fault.ts';
import type { Fault } from '../fault.ts';
import type { Scope, ScopeKind } from '../types.ts';

/** Evaluates: a value or a Fault. Throws only what reading `event.data` throws. */
export type Evaluate = (scope: Scope) => unknown;

/** A compiled node. A constant one is evaluated at load. */
export interface Code {
  readonly run: Evaluate;
  readonly constant: boolean;
  /** The value of a constant (a Fault possibly). */
  readonly value?: unknown;
}

/** A variable of a macro. The cell is written by the loop; evaluation never interleaves, so one cell is enough. */
export interface Local {
  readonly cell: { value: unknown };
  /** How a missing field of it is shown: `event.data.items[]`. */
  readonly path: string;
}

const MAX_ITERATIONS = 100_000;

/** The work that one evaluation may still do in loops, the filters that it names included: evaluation is synchronous, so there is one at a time. */
const budget = { left: MAX_ITERATIONS, depth: 0 };

/** Gives each evaluation the full budget, unless it is part of another one. */
export function withBudget(run: Evaluate): Evaluate {
  return (scope) => {
    if (budget.depth === 0) budget.left = MAX_ITERATIONS;
    budget.depth++;
    try {
      return run(scope);
    } finally {
      budget.depth--;
    }
  };
}

export interface FilterReference {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

/** Everything that the compilation of one expression shares. */
export interface Compilation {
  readonly source: string;
  readonly base: number;
  readonly kind: ScopeKind;
  readonly environment: Environment;
  /** The filter of a name, or an ExpressionError at the node. */
  filter(reference: FilterReference): Evaluate;
  /** Hears of every variable that is read. */
  reads(name: string, node: Node): void;
  /** Set when the expression has a loop: only then is there a budget. */
  loops: boolean;
}

type CompileNode = (node: Node, compiler: Compiler) => Code;

export class Compiler {
  readonly shared: Compilation;
  readonly locals: ReadonlyMap<string, Local>;
  private readonly compileNode: CompileNode;

  constructor(shared: Compilation, compileNode: CompileNode, locals: ReadonlyMap<string, Local> = new Map()) {
    this.shared = shared;
    this.compileNode = compileNode;
    this.locals = locals;
  }

  compile(node: Node): Code {
    return this.compileNode(node, this);
  }

  withLocals(added: readonly (readonly [string, Local])[]): Compiler {
    return new Compiler(this.shared, this.compileNode, new Map([...this.locals, ...added]));
  }

  variable(name: string): Variable | undefined {
    const variable = this.shared.environment.get(name);
    return variable?.kinds.includes(this.shared.kind) === true ? variable : undefined;
  }

  variableNames(): string[] {
    const names = [...this.shared.environment.keys()].filter((name) => this.variable(name) !== undefined);
    return [...this.locals.keys(), ...names];
  }

  text(node: Node): string {
    return this.shared.source.slice(node.start - this.shared.base, node.end - this.shared.base);
  }

  site(node: Node): Site {
    return new Site(node.start, node.end - node.start);
  }

  error(message: string, node: Node, hint?: string): ExpressionError {
    return new ExpressionError(message, node.start, node.end - node.start, hint);
  }
}

export const constant = (value: unknown): Code => ({ run: () => value, constant: true, value });
export const dynamic = (run: Evaluate): Code => ({ run, constant: false });

/** Evaluated at load when all parts are constant. `run` must then need nothing but them. */
export function fold(parts: readonly Code[], run: Evaluate): Code {
  return parts.every((part) => part.constant) ? constant(run(NOTHING)) : dynamic(run);
}

/** The scope of what is evaluated at load: constants look at none of it. */
const NOTHING: Scope = {
  event: {
    specversion: '1.0',
    id: '',
    source: '',
    type: '',
    time: '',
    subject: undefined,
    datacontenttype: undefined,
    dataschema: undefined,
    extensions: {},
    data: null,
  },
  msg: {
    subject: '',
    stream: '',
    sequence: 0,
    attempt: 0,
    run: '',
    replay: false,
    header: () => undefined,
    headers: () => ({}),
  },
  now: 0,
};

/** Charges work of a loop; a Fault when the evaluation has done too much. */
export function charge(work: number, site: Site): Fault | undefined {
  budget.left -= work;
  return budget.left < 0 ? site.fault(`more than ${MAX_ITERATIONS} iterations in one evaluation`) : undefined;
}
