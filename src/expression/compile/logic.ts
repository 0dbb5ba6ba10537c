/**
 * `&&` and `||`. As in CEL they are commutative over faults: a false clause decides `&&` and a true one `||`,
 * whichever side a fault is on.
 */

import type { LogicNode } from '../ast.ts';
import { Fault } from '../fault.ts';
import type { Site } from '../fault.ts';
import { aTypeName } from '../values.ts';
import { fold } from './compiler.ts';
import type { Code, Compiler, Evaluate } from './compiler.ts';

export function compileLogic(node: LogicNode, compiler: Compiler): Code {
  const clauses = node.clauses.map((clause) => compiler.compile(clause));
  const runs = clauses.map((clause) => clause.run);
  const sites = node.clauses.map((clause) => compiler.site(clause));
  const [first, second] = runs;
  if (runs.length === 2 && first && second) {
    return fold(clauses, node.kind === 'and' ? both(first, second, sites) : either(first, second, sites));
  }
  return fold(clauses, many(runs, sites, node.kind === 'or'));
}

function both(first: Evaluate, second: Evaluate, sites: readonly Site[]): Evaluate {
  return (scope) => {
    const a = first(scope);
    if (a === false) return false;
    const b = second(scope);
    if (b === false) return false;
    if (a === true && b === true) return true;
    return a === true ? notBool(b, sites[1]) : notBool(a, sites[0]);
  };
}

function either(first: Evaluate, second: Evaluate, sites: readonly Site[]): Evaluate {
  return (scope) => {
    const a = first(scope);
    if (a === true) return true;
    const b = second(scope);
    if (b === true) return true;
    if (a === false && b === false) return false;
    return a === false ? notBool(b, sites[1]) : notBool(a, sites[0]);
  };
}

function many(runs: readonly Evaluate[], sites: readonly Site[], decides: boolean): Evaluate {
  return (scope) => {
    let other: unknown = !decides;
    for (let index = 0; index < runs.length; index++) {
      const value = runs[index]?.(scope);
      if (value === decides) return decides;
      if (value !== !decides && other === !decides) other = notBool(value, sites[index]);
    }
    return other;
  };
}

/** The fault that a clause is, or the one that it makes by not being a bool. */
function notBool(value: unknown, site: Site | undefined): unknown {
  return value instanceof Fault ? value : site?.fault(`a clause is ${aTypeName(value)}, not a bool`, value);
}
