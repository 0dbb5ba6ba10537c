/** `has`, the loops over lists and maps, `cel.bind`, and the optional's lazy methods. */

import type { CallNode, Node } from '../ast.ts';
import { Fault } from '../fault.ts';
import type { Site } from '../fault.ts';
import { Optional, entriesOf, isMap, aTypeName } from '../values.ts';
import { charge, dynamic, fold } from './compiler.ts';
import type { Code, Compiler, Evaluate, Local } from './compiler.ts';
import { compileMember, elementPath } from './member.ts';

type Loop = 'all' | 'exists' | 'exists_one' | 'map' | 'filter' | 'transformList' | 'transformMap' | 'transformMapEntry';

/** Macro → how many arguments of a loop come after its variables. */
const LOOPS: ReadonlyMap<
  string,
  { readonly loop: Loop; readonly variables: readonly number[]; readonly optionalFilter?: true }
> = new Map([
  ['all', { loop: 'all', variables: [1, 2] }],
  ['exists', { loop: 'exists', variables: [1, 2] }],
  ['exists_one', { loop: 'exists_one', variables: [1, 2] }],
  ['existsOne', { loop: 'exists_one', variables: [1, 2] }],
  ['filter', { loop: 'filter', variables: [1] }],
  ['map', { loop: 'map', variables: [1], optionalFilter: true }],
  ['transformList', { loop: 'transformList', variables: [2], optionalFilter: true }],
  ['transformMap', { loop: 'transformMap', variables: [2], optionalFilter: true }],
  ['transformMapEntry', { loop: 'transformMapEntry', variables: [2], optionalFilter: true }],
]);

export const MACRO_NAMES: readonly string[] = ['has', 'bind', ...LOOPS.keys(), 'or', 'orValue', 'optMap', 'optFlatMap'];

/** The code of a macro, or undefined when the call is none. */
export function compileMacro(node: CallNode, compiler: Compiler): Code | undefined {
  const { target, name, args } = node;
  if (target === undefined) return name === 'has' && args.length === 1 ? compileHas(node, compiler) : undefined;
  if (name === 'bind' && target.kind === 'name' && target.name === 'cel' && args.length === 3)
    return compileBind(node, compiler);
  const [first, second] = args;
  if (first && !second && (name === 'or' || name === 'orValue')) return compileOr(node, target, first, compiler);
  if (first && second && args.length === 2 && (name === 'optMap' || name === 'optFlatMap')) {
    return compileOptMap(node, target, compiler);
  }
  return compileLoop(node, target, compiler);
}

function compileHas(node: CallNode, compiler: Compiler): Code {
  const [arg] = node.args;
  if (arg?.kind !== 'select' && arg?.kind !== 'index') {
    throw compiler.error(
      'has() takes a field',
      arg ?? node,
      'For example has(event.data.customer) or has(event.data["unit-price"]).',
    );
  }
  const code = compileMember(arg, compiler, true);
  return fold([code], (scope) => {
    const value = code.run(scope);
    if (value instanceof Fault) return value.kind === 'missing_field' ? false : value;
    return true;
  });
}

function variableOf(node: Node | undefined, compiler: Compiler, fallback: Node): string {
  if (node?.kind === 'name') return node.name;
  throw compiler.error('the name of a variable is expected here', node ?? fallback);
}

function compileBind(node: CallNode, compiler: Compiler): Code | undefined {
  const [variable, init, result] = node.args;
  if (!init || !result) return undefined;
  const value = compiler.compile(init);
  const local: Local = { cell: { value: undefined }, path: boundPath(init, compiler) };
  const body = compiler.withLocals([[variableOf(variable, compiler, node), local]]).compile(result);
  return dynamic((scope) => {
    const bound = value.run(scope);
    if (bound instanceof Fault) return bound;
    local.cell.value = bound;
    const answer = body.run(scope);
    local.cell.value = undefined;
    return answer;
  });
}

const boundPath = (node: Node, compiler: Compiler): string => compiler.text(node).slice(0, 80);

function compileOr(node: CallNode, target: Node, fallback: Node, compiler: Compiler): Code {
  const optional = compiler.compile(target);
  const other = compiler.compile(fallback);
  const site = compiler.site(node);
  const unwrap = node.name === 'orValue';
  return fold([optional, other], (scope) => {
    const value = optional.run(scope);
    if (value instanceof Fault) return value;
    if (!(value instanceof Optional)) return notOptional(value, node.name, site);
    if (value.present) return unwrap ? value.value : value;
    const answer = other.run(scope);
    if (unwrap || answer instanceof Fault || answer instanceof Optional) return answer;
    return notOptional(answer, node.name, site);
  });
}

const notOptional = (value: unknown, name: string, site: Site): Fault =>
  site.fault(`${name}() takes an optional, not ${aTypeName(value)}; write .?field`, value);

function compileOptMap(node: CallNode, target: Node, compiler: Compiler): Code | undefined {
  const [variable, expression] = node.args;
  if (!expression) return undefined;
  const optional = compiler.compile(target);
  const site = compiler.site(node);
  const local: Local = { cell: { value: undefined }, path: boundPath(target, compiler) };
  const body = compiler.withLocals([[variableOf(variable, compiler, node), local]]).compile(expression);
  return dynamic((scope) => {
    const value = optional.run(scope);
    if (value instanceof Fault) return value;
    if (!(value instanceof Optional)) return notOptional(value, node.name, site);
    if (!value.present) return value;
    local.cell.value = value.value;
    const answer = body.run(scope);
    local.cell.value = undefined;
    if (answer instanceof Fault) return answer;
    if (node.name === 'optMap') return Optional.of(answer);
    return answer instanceof Optional ? answer : notOptional(answer, node.name, site);
  });
}

function compileLoop(node: CallNode, target: Node, compiler: Compiler): Code | undefined {
  const macro = LOOPS.get(node.name);
  if (!macro) return undefined;
  const bodies = (variables: number): number => node.args.length - variables;
  const variables = macro.variables.find(
    (count) => bodies(count) === 1 || (macro.optionalFilter && bodies(count) === 2),
  );
  if (variables === undefined) return undefined;
  const range = compiler.compile(target);
  const path = elementPath(target, compiler);
  const locals = node.args
    .slice(0, variables)
    .map((arg, index): readonly [string, Local] => [
      variableOf(arg, compiler, node),
      { cell: { value: undefined }, path: index === variables - 1 ? path : `${path}.key` },
    ]);
  compiler.shared.loops = true;
  const inner = compiler.withLocals(locals);
  const rest = node.args.slice(variables).map((arg) => inner.compile(arg));
  const body = rest.at(-1);
  const condition = rest.length === 2 ? rest[0] : macro.loop === 'filter' ? body : undefined;
  const [first, second] = locals.map(([, local]) => local.cell);
  if (!body || !first) return undefined;
  const site = compiler.site(node);
  const run: Evaluate = (scope) => {
    const container = range.run(scope);
    if (container instanceof Fault) return container;
    if (!Array.isArray(container) && !isMap(container)) {
      return site.fault(`${node.name}() takes a list or a map, not ${aTypeName(container)}`, container);
    }
    const collect = collectorOf(macro.loop, node.name, site);
    /** One turn; an answer other than undefined ends the loop with it. */
    const turn = (key: unknown, value: unknown, only: unknown): unknown => {
      const spent = charge(1, site);
      if (spent) return spent;
      first.value = second ? key : only;
      if (second) second.value = value;
      if (condition) {
        const chosen = condition.run(scope);
        if (chosen === false) return undefined;
        if (chosen !== true) return notBool(chosen, node.name, site);
      }
      return collect.add(macro.loop === 'filter' ? only : body.run(scope), key);
    };
    const decided = Array.isArray(container) ? eachItem(container, turn) : eachEntry(container, turn);
    first.value = undefined;
    if (second) second.value = undefined;
    return decided === undefined ? collect.result() : decided;
  };
  return dynamic(run);
}

type Turn = (key: unknown, value: unknown, only: unknown) => unknown;

/** With one variable it is the element of a list and the key of a map, as in CEL. */
function eachItem(list: readonly unknown[], turn: Turn): unknown {
  for (let index = 0; index < list.length; index++) {
    const decided = turn(index, list[index], list[index]);
    if (decided !== undefined) return decided;
  }
  return undefined;
}

function eachEntry(map: object, turn: Turn): unknown {
  for (const [key, value] of entriesOf(map)) {
    const decided = turn(key, value, key);
    if (decided !== undefined) return decided;
  }
  return undefined;
}

const notBool = (value: unknown, name: string, site: Site): Fault =>
  value instanceof Fault
    ? value
    : site.fault(`${name}() needs a bool for each element, not ${aTypeName(value)}`, value);

interface Collector {
  /** An answer other than undefined ends the loop with it. */
  add(value: unknown, key: unknown): unknown;
  result(): unknown;
}

function collectorOf(loop: Loop, name: string, site: Site): Collector {
  switch (loop) {
    case 'all':
      return quantifier(false, name, site);
    case 'exists':
      return quantifier(true, name, site);
    case 'exists_one': {
      let count = 0;
      return {
        add: (value) => (typeof value === 'boolean' ? void (count += value ? 1 : 0) : notBool(value, name, site)),
        result: () => count === 1,
      };
    }
    case 'map':
    case 'filter':
    case 'transformList': {
      const list: unknown[] = [];
      return { add: (value) => (value instanceof Fault ? value : void list.push(value)), result: () => list };
    }
    case 'transformMap': {
      const map = new Map<unknown, unknown>();
      return {
        add: (value, key) => (value instanceof Fault ? value : void map.set(key, value)),
        result: () => map,
      };
    }
    case 'transformMapEntry': {
      const map = new Map<unknown, unknown>();
      return { add: (value) => addEntries(map, value, name, site), result: () => map };
    }
  }
}

function addEntries(map: Map<unknown, unknown>, value: unknown, name: string, site: Site): Fault | undefined {
  if (value instanceof Fault) return value;
  if (!isMap(value)) return site.fault(`${name}() needs a map for each element, not ${aTypeName(value)}`, value);
  for (const [key, item] of entriesOf(value)) {
    if (map.has(key)) return site.fault(`the key ${String(key)} stands twice in the map`, key);
    map.set(key, item);
  }
  return undefined;
}

/** `all` and `exists`: like `&&` and `||` over the elements, and like them commutative over faults. */
function quantifier(decides: boolean, name: string, site: Site): Collector {
  let fault: Fault | undefined;
  return {
    add: (value) => {
      if (value === decides) return decides;
      if (value !== !decides) fault ??= notBool(value, name, site);
      return undefined;
    },
    result: () => fault ?? !decides,
  };
}
