/** Comparisons, arithmetic and `in`. A comparison with a literal, the commonest filter, has closures of its own. */

import type { Arithmetic, BinaryNode, Node, Relation } from '../ast.ts';
import { FILTERS } from '../environment.ts';
import { compare, equals } from '../equality.ts';
import { Fault, guardDepth } from '../fault.ts';
import type { Site } from '../fault.ts';
import { MAX_LIST, MAX_STRING } from '../limits.ts';
import * as numbers from '../numbers.ts';
import { addTimes, subtractTimes } from '../time.ts';
import { isMap, isNum, lookup, aTypeName } from '../values.ts';
import type { Num } from '../values.ts';
import { charge, dynamic, fold } from './compiler.ts';
import type { Code, Compiler, Evaluate } from './compiler.ts';

export function compileBinary(node: BinaryNode, compiler: Compiler): Code {
  if (node.operator === '-') refuseHyphen(node, compiler);
  const left = compiler.compile(node.left);
  const site = compiler.site(node);
  if (node.operator === 'in') return compileIn(node, left, compiler);
  const right = compiler.compile(node.right);
  switch (node.operator) {
    case '==':
      return fold([left, right], equality(left, right, true, site));
    case '!=':
      return fold([left, right], equality(left, right, false, site));
    case '<':
    case '<=':
    case '>':
    case '>=':
      return fold([left, right], relation(node.operator, left, right, site));
    default:
      return fold([left, right], arithmetic(node.operator, left.run, right.run, site));
  }
}

/** `filters.not-test` is a subtraction, which nobody means. */
function refuseHyphen(node: BinaryNode, compiler: Compiler): void {
  let left: Node = node.left;
  for (;;) {
    if (left.kind === 'binary' && left.operator === '-') left = left.left;
    else if (left.kind === 'not') left = left.operand;
    else break;
  }
  if (left.kind !== 'select' || left.target.kind !== 'name' || left.target.name !== FILTERS) return;
  if (compiler.locals.has(FILTERS)) return;
  const whole = { ...node, start: left.start };
  const text = compiler.text(whole);
  const name = text.slice(text.indexOf('.') + 1);
  throw compiler.error(
    `${text} subtracts from a filter`,
    whole,
    /^[\w-]+$/.test(name) ? `"-" is a subtraction here. Write filters['${name}'].` : 'A filter is true or false.',
  );
}

function equality(left: Code, right: Code, wanted: boolean, site: Site): Evaluate {
  const run = left.run;
  if (right.constant && (typeof right.value === 'string' || typeof right.value === 'boolean' || right.value === null)) {
    const literal = right.value;
    return (scope) => {
      const value = run(scope);
      if (value === literal) return wanted;
      return value instanceof Fault ? value : !wanted;
    };
  }
  return (scope) => {
    const a = run(scope);
    if (a instanceof Fault) return a;
    const b = right.run(scope);
    if (b instanceof Fault) return b;
    if (typeof a !== 'object' || typeof b !== 'object') return equals(a, b) === wanted;
    return guardDepth(site, () => equals(a, b) === wanted);
  };
}

function relation(operator: Relation, left: Code, right: Code, site: Site): Evaluate {
  const run = left.run;
  if (right.constant && typeof right.value === 'number') {
    const literal = right.value;
    const other = (value: unknown): unknown => relate(operator, value, literal, site);
    switch (operator) {
      case '<':
        return (scope) => {
          const value = run(scope);
          return typeof value === 'number' ? value < literal : other(value);
        };
      case '<=':
        return (scope) => {
          const value = run(scope);
          return typeof value === 'number' ? value <= literal : other(value);
        };
      case '>':
        return (scope) => {
          const value = run(scope);
          return typeof value === 'number' ? value > literal : other(value);
        };
      case '>=':
        return (scope) => {
          const value = run(scope);
          return typeof value === 'number' ? value >= literal : other(value);
        };
    }
  }
  return (scope) => {
    const a = run(scope);
    if (a instanceof Fault) return a;
    return relate(operator, a, right.run(scope), site);
  };
}

function relate(operator: Relation, a: unknown, b: unknown, site: Site): unknown {
  if (a instanceof Fault) return a;
  if (b instanceof Fault) return b;
  const order = compare(a, b);
  if (order === undefined) {
    return site.fault(`"${operator}" cannot compare ${aTypeName(a)} with ${aTypeName(b)}`, isNum(a) ? b : a);
  }
  switch (operator) {
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
  }
}

const NUMBERS: Readonly<Record<Arithmetic, (a: Num, b: Num) => Num | undefined>> = {
  '+': numbers.add,
  '-': numbers.subtract,
  '*': numbers.multiply,
  '/': numbers.divide,
  '%': numbers.modulo,
};

function arithmetic(operator: Arithmetic, left: Evaluate, right: Evaluate, site: Site): Evaluate {
  const calculate = NUMBERS[operator];
  const divides = operator === '/' || operator === '%';
  return (scope) => {
    const a = left(scope);
    if (a instanceof Fault) return a;
    const b = right(scope);
    if (b instanceof Fault) return b;
    if (!isNum(a) || !isNum(b)) return otherArithmetic(operator, a, b, site);
    if (divides && Number(b) === 0) return site.fault(operator === '/' ? 'division by zero' : 'modulo by zero', a);
    return calculate(a, b) ?? site.fault(`the result of "${operator}" is out of range`, a);
  };
}

function otherArithmetic(operator: Arithmetic, a: unknown, b: unknown, site: Site): unknown {
  if (operator === '+') {
    const joined = concatenate(a, b, site);
    if (joined !== undefined) return joined;
  }
  const times = operator === '+' ? addTimes(a, b) : operator === '-' ? subtractTimes(a, b) : undefined;
  if (times) return times;
  if (times === null) return site.fault(`the result of "${operator}" is out of range`);
  return site.fault(`"${operator}" does not take ${aTypeName(a)} and ${aTypeName(b)}`, isNum(a) ? b : a);
}

function concatenate(a: unknown, b: unknown, site: Site): unknown {
  if (typeof a === 'string' && typeof b === 'string') {
    return a.length + b.length > MAX_STRING ? site.fault(`the text is longer than ${MAX_STRING} characters`) : a + b;
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    const list: readonly unknown[] = a;
    return a.length + b.length > MAX_LIST ? site.fault(`the list is longer than ${MAX_LIST}`) : list.concat(b);
  }
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    if (a.length + b.length > MAX_STRING) return site.fault(`more than ${MAX_STRING} bytes`);
    const bytes = new Uint8Array(a.length + b.length);
    bytes.set(a);
    bytes.set(b, a.length);
    return bytes;
  }
  return undefined;
}

/** `x in list`, `key in map`. */
function compileIn(node: BinaryNode, left: Code, compiler: Compiler): Code {
  const site = compiler.site(node);
  const header = headerNames(node.right, compiler);
  if (header) {
    return dynamic((scope) => {
      const key = left.run(scope);
      if (key instanceof Fault) return key;
      return typeof key === 'string' && header(scope, key) !== undefined;
    });
  }
  const right = compiler.compile(node.right);
  const inLoop = compiler.locals.size > 0;
  if (right.constant && Array.isArray(right.value) && right.value.every((item) => typeof item === 'string')) {
    const names: readonly unknown[] = right.value;
    return fold([left, right], (scope) => {
      const value = left.run(scope);
      return value instanceof Fault ? value : names.includes(value);
    });
  }
  return fold([left, right], (scope) => {
    const value = left.run(scope);
    if (value instanceof Fault) return value;
    const container = right.run(scope);
    if (container instanceof Fault) return container;
    if (Array.isArray(container)) {
      // In a loop, a search through a list of the event is work that an event's size multiplies with itself.
      const spent = inLoop ? charge(container.length >> 4, site) : undefined;
      if (spent) return spent;
      if (typeof value !== 'object') return container.some((item) => equals(item, value));
      return guardDepth(site, () => container.some((item) => equals(item, value)));
    }
    if (isMap(container)) return lookup(container, value) !== undefined;
    return site.fault(`"in" takes a list or a map, not ${aTypeName(container)}`, container);
  });
}

/** For `'X-Foo' in msg.headers`: the header is looked up, the map not made. */
function headerNames(node: Node, compiler: Compiler) {
  if (node.kind !== 'select' || node.optional || node.target.kind !== 'name') return undefined;
  if (compiler.locals.has(node.target.name)) return undefined;
  return compiler.variable(node.target.name)?.attributes?.get(node.field)?.entry;
}
