/** Calls of functions and methods; macros are in macros.ts. */

import type { CallNode } from '../ast.ts';
import { didYouMean } from '../error.ts';
import { Fault } from '../fault.ts';
import { FUNCTIONS, functionNames } from '../functions/index.ts';
import type { FunctionSpec } from '../functions/spec.ts';
import { dynamic, fold } from './compiler.ts';
import type { Code, Compiler, Evaluate } from './compiler.ts';
import { MACRO_NAMES, compileMacro } from './macros.ts';

export function compileCall(node: CallNode, compiler: Compiler): Code {
  const macro = compileMacro(node, compiler);
  if (macro) return macro;
  const qualified = qualifiedFunction(node, compiler);
  if (qualified)
    return callOf(
      qualified,
      node,
      node.args.map((arg) => compiler.compile(arg)),
      compiler,
    );
  const spec = FUNCTIONS.get(node.name);
  if (!spec) throw unknownFunction(node, compiler);
  if (node.target === undefined && spec.form === 'method') {
    throw nameError(node, compiler, `${node.name}() is called on a value`, `Write value.${node.name}(…).`);
  }
  if (node.target !== undefined && spec.form === 'function') {
    throw nameError(node, compiler, `${node.name}() is not called on a value`, `Write ${node.name}(…).`);
  }
  const args = node.target === undefined ? node.args : [node.target, ...node.args];
  return callOf(
    spec,
    node,
    args.map((arg) => compiler.compile(arg)),
    compiler,
  );
}

/** `optional.of(x)`: a function with a dot in its name. */
function qualifiedFunction(node: CallNode, compiler: Compiler): FunctionSpec | undefined {
  if (node.target?.kind !== 'name' || compiler.locals.has(node.target.name)) return undefined;
  return FUNCTIONS.get(`${node.target.name}.${node.name}`);
}

function callOf(spec: FunctionSpec, node: CallNode, args: readonly Code[], compiler: Compiler): Code {
  const receivers = node.target !== undefined && !spec.name.includes('.') ? 1 : 0;
  const [least, most] = spec.args;
  if (args.length < least || args.length > most) {
    throw nameError(
      node,
      compiler,
      `${spec.name}() takes ${countText(least - receivers, most - receivers)}, not ${args.length - receivers}`,
      `${spec.usage}`,
    );
  }
  const site = compiler.site(node);
  const places = (node.target === undefined ? node.args : [node.target, ...node.args]).map((arg) => compiler.site(arg));
  const run = spec.prepare?.(site, args, places) ?? direct(spec, args, compiler, node);
  return spec.impure === true ? dynamic(run) : fold(args, run);
}

function direct(spec: FunctionSpec, args: readonly Code[], compiler: Compiler, node: CallNode): Evaluate {
  const site = compiler.site(node);
  const runs = args.map((arg) => arg.run);
  const [first, second] = runs;
  if (spec.spread !== true && first && runs.length === 1) {
    return (scope) => {
      const a = first(scope);
      return a instanceof Fault ? a : spec.call(site, a);
    };
  }
  if (spec.spread !== true && first && second && runs.length === 2) {
    return (scope) => {
      const a = first(scope);
      if (a instanceof Fault) return a;
      const b = second(scope);
      return b instanceof Fault ? b : spec.call(site, a, b);
    };
  }
  return (scope) => {
    const values: unknown[] = [];
    for (const run of runs) {
      const value = run(scope);
      if (value instanceof Fault) return value;
      values.push(value);
    }
    return spec.call(site, ...values);
  };
}

const countText = (least: number, most: number): string => {
  if (most === Infinity) return `at least ${plural(least)}`;
  return least === most ? plural(least) : `${least} to ${plural(most)}`;
};
const plural = (count: number): string =>
  count === 0 ? 'no arguments' : count === 1 ? '1 argument' : `${count} arguments`;

function unknownFunction(node: CallNode, compiler: Compiler): Error {
  const near = didYouMean(node.name, [...functionNames(), ...MACRO_NAMES]);
  if (MACRO_NAMES.includes(node.name)) {
    return nameError(node, compiler, `${node.name}() is used differently`, usageOfMacro(node.name));
  }
  return nameError(
    node,
    compiler,
    `unknown function "${node.name}"`,
    near === undefined ? undefined : `Did you mean "${near}"?`,
  );
}

const usageOfMacro = (name: string): string =>
  name === 'has'
    ? 'has(event.data.field)'
    : name === 'bind'
      ? 'cel.bind(name, value, expression)'
      : `list.${name}(variable, expression)`;

const nameError = (node: CallNode, compiler: Compiler, message: string, hint?: string) =>
  compiler.error(
    message,
    { kind: 'name', name: node.name, start: node.nameStart, end: node.nameStart + node.name.length },
    hint,
  );
