/** Tree → closures. One function a kind of node. */

import type { ConditionalNode, ListNode, MapNode, NameNode, Node, UnaryNode } from '../ast.ts';
import { FILTERS } from '../environment.ts';
import { ExpressionError, didYouMean } from '../error.ts';
import { Fault } from '../fault.ts';
import { negate } from '../numbers.ts';
import { isMapKey, isNum, aTypeName, typeNamed } from '../values.ts';
import { compileBinary } from './binary.ts';
import { compileCall } from './call.ts';
import { Compiler, constant, dynamic, fold, withBudget } from './compiler.ts';
import type { Code, Compilation, Evaluate } from './compiler.ts';
import { compileLogic } from './logic.ts';
import { compileMember } from './member.ts';

/**
 * Compiles a tree.
 * @throws ExpressionError for what refers to nothing (variables, attributes, functions, filters) or can never have a value.
 */
export function compile(root: Node, shared: Compilation): Evaluate {
  const code = new Compiler(shared, compileNode).compile(root);
  if (code.constant && code.value instanceof Fault) {
    throw new ExpressionError(code.value.message, code.value.offset, code.value.length);
  }
  return shared.loops ? withBudget(code.run) : code.run;
}

/** Compiles a part of a tree that was compiled as a whole: one that can never have a value answers a Fault. */
export function compilePart(part: Node, shared: Compilation): Evaluate {
  const { run } = new Compiler(shared, compileNode).compile(part);
  return shared.loops ? withBudget(run) : run;
}

function compileNode(node: Node, compiler: Compiler): Code {
  switch (node.kind) {
    case 'literal':
      return constant(node.value);
    case 'name':
      return compileName(node, compiler);
    case 'select':
    case 'index':
      return compileMember(node, compiler);
    case 'call':
      return compileCall(node, compiler);
    case 'list':
      return compileList(node, compiler);
    case 'map':
      return compileMap(node, compiler);
    case 'conditional':
      return compileConditional(node, compiler);
    case 'and':
    case 'or':
      return compileLogic(node, compiler);
    case 'not':
      return compileNot(node, compiler);
    case 'negate':
      return compileNegate(node, compiler);
    case 'binary':
      return compileBinary(node, compiler);
  }
}

function compileName(node: NameNode, compiler: Compiler): Code {
  const local = compiler.locals.get(node.name);
  if (local) {
    const { cell } = local;
    return dynamic(() => cell.value);
  }
  const variable = compiler.variable(node.name);
  if (variable) {
    const missing = compiler.site(node).missing(node.name);
    return dynamic((scope) => {
      const value = variable.read(scope);
      return value === undefined ? missing : value;
    });
  }
  const type = typeNamed(node.name);
  if (type) return constant(type);
  throw unknownName(node, compiler);
}

function unknownName(node: NameNode, compiler: Compiler): ExpressionError {
  if (node.name === FILTERS) {
    return compiler.error(
      'a filter is named by filters.<name>',
      node,
      "For example filters.big or filters['not-test'].",
    );
  }
  const known = compiler.shared.environment.get(node.name);
  if (known) {
    return compiler.error(
      `there is no "${node.name}" here`,
      node,
      `It exists where these are: ${known.kinds.filter((kind) => kind !== 'source').join(', ')}.`,
    );
  }
  const event = compiler.variable('event');
  const near = didYouMean(node.name, [...compiler.variableNames(), FILTERS]);
  const hint =
    near !== undefined
      ? `Did you mean "${near}"?`
      : event?.attributes
        ? `Did you mean ${event.attributes.has(node.name) ? `event.${node.name}` : `event.data.${node.name}`}, or the text "${node.name}" in quotes?`
        : undefined;
  return compiler.error(`unknown variable "${node.name}"`, node, hint);
}

function compileList(node: ListNode, compiler: Compiler): Code {
  const items = node.items.map((item) => compiler.compile(item));
  const runs = items.map((item) => item.run);
  return fold(items, (scope) => {
    const list: unknown[] = [];
    for (const run of runs) {
      const value = run(scope);
      if (value instanceof Fault) return value;
      list.push(value);
    }
    return list;
  });
}

function compileMap(node: MapNode, compiler: Compiler): Code {
  const entries = node.entries.map(([key, value]) => [compiler.compile(key), compiler.compile(value)] as const);
  const sites = node.entries.map(([key]) => compiler.site(key));
  return fold(entries.flat(), (scope) => {
    const map = new Map<unknown, unknown>();
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index];
      if (!entry) break;
      const key = entry[0].run(scope);
      if (key instanceof Fault) return key;
      if (!isMapKey(key)) return sites[index]?.fault(`${aTypeName(key)} cannot be a key of a map`, key);
      if (map.has(key)) return sites[index]?.fault(`the key ${String(key)} stands twice in the map`, key);
      const value = entry[1].run(scope);
      if (value instanceof Fault) return value;
      map.set(key, value);
    }
    return map;
  });
}

function compileConditional(node: ConditionalNode, compiler: Compiler): Code {
  const condition = compiler.compile(node.condition);
  const yes = compiler.compile(node.yes);
  const no = compiler.compile(node.no);
  const site = compiler.site(node.condition);
  return fold([condition, yes, no], (scope) => {
    const value = condition.run(scope);
    if (value === true) return yes.run(scope);
    if (value === false) return no.run(scope);
    return value instanceof Fault ? value : site.fault(`the condition is ${aTypeName(value)}, not a bool`, value);
  });
}

function compileNot(node: UnaryNode, compiler: Compiler): Code {
  const operand = compiler.compile(node.operand);
  const site = compiler.site(node);
  return fold([operand], (scope) => {
    const value = operand.run(scope);
    if (value === true) return false;
    if (value === false) return true;
    return value instanceof Fault ? value : site.fault(`"!" takes a bool, not ${aTypeName(value)}`, value);
  });
}

function compileNegate(node: UnaryNode, compiler: Compiler): Code {
  const operand = compiler.compile(node.operand);
  const site = compiler.site(node);
  return fold([operand], (scope) => {
    const value = operand.run(scope);
    if (isNum(value)) return negate(value);
    return value instanceof Fault ? value : site.fault(`"-" takes a number, not ${aTypeName(value)}`, value);
  });
}
