/** `a.b`, `a["b"]`, `a[0]`, `a.?b`: a chain of steps from a root, compiled as one, so that a missing field shows the whole path. */

import type { IndexNode, Node, SelectNode } from '../ast.ts';
import { FILTERS } from '../environment.ts';
import type { Attribute, Variable } from '../environment.ts';
import { ExpressionError, didYouMean } from '../error.ts';
import { Fault } from '../fault.ts';
import type { Site } from '../fault.ts';
import { Optional, lookup, aTypeName, typeNamed } from '../values.ts';
import { constant, dynamic, fold } from './compiler.ts';
import type { Code, Compiler, Evaluate } from './compiler.ts';
import { isPlainKey, readEventData, readPlain } from './plain.ts';

type MemberNode = SelectNode | IndexNode;

interface Step {
  /** The key, when it is known at load; else `run` answers it. */
  readonly key: unknown;
  readonly run: Evaluate | undefined;
  readonly optional: boolean;
  readonly site: Site;
}

interface Chain {
  readonly root: Node;
  readonly nodes: readonly MemberNode[];
}

function chainOf(node: MemberNode): Chain {
  const nodes: MemberNode[] = [];
  let root: Node = node;
  while (root.kind === 'select' || root.kind === 'index') {
    nodes.push(root);
    root = root.target;
  }
  return { root, nodes: nodes.reverse() };
}

/**
 * @param probe for `has()`: what is not there is a missing field whatever it is, an index out of range too.
 */
export function compileMember(node: MemberNode, compiler: Compiler, probe = false): Code {
  const { root, nodes } = chainOf(node);
  const type = qualifiedType(node);
  if (type && !isBound(root, compiler)) return constant(type);
  const path = pathOf(root, nodes, compiler);
  const missing = compiler.site(node).missing(path);
  const [first] = nodes;
  if (root.kind === 'name' && first && !compiler.locals.has(root.name)) {
    if (root.name === FILTERS) return walk(filterReference(first, compiler), nodes.slice(1), missing, compiler, probe);
    const variable = compiler.variable(root.name);
    const name = staticKey(first, compiler);
    if (variable?.attributes && typeof name === 'string' && !first.optional) {
      const attribute = attributeNamed(name, root.name, variable, first);
      compiler.shared.reads(root.name, root);
      return fromAttribute(attribute, nodes.slice(1), missing, compiler, probe);
    }
    if (variable?.attributes && first.kind === 'select') attributeNamed(first.field, root.name, variable, first);
  }
  return walk(compiler.compile(root), nodes, missing, compiler, probe);
}

const isBound = (root: Node, compiler: Compiler): boolean =>
  root.kind === 'name' && (compiler.locals.has(root.name) || compiler.variable(root.name) !== undefined);

/** `google.protobuf.Timestamp`, the one kind of type with dots in its name. */
function qualifiedType(node: Node): unknown {
  const parts: string[] = [];
  let rest: Node = node;
  for (; rest.kind === 'select'; rest = rest.target) parts.push(rest.field);
  if (rest.kind !== 'name' || parts.length === 0) return undefined;
  return typeNamed([rest.name, ...parts.reverse()].join('.'));
}

function filterReference(first: MemberNode, compiler: Compiler): Code {
  if (compiler.variable('event') === undefined)
    throw compiler.error('filters look at an event, and there is none here', first);
  const name = staticKey(first, compiler);
  if (typeof name !== 'string') {
    throw compiler.error(
      'the name of a filter must be written out',
      first,
      "For example filters.big or filters['not-test'].",
    );
  }
  if (first.optional) throw compiler.error('a filter is not optional', first, `Write filters.${name}.`);
  return dynamic(compiler.shared.filter({ name, offset: first.start, length: first.end - first.start }));
}

function attributeNamed(name: string, owner: string, variable: Variable, node: MemberNode): Attribute {
  const attribute = variable.attributes?.get(name);
  if (attribute) return attribute;
  const near = didYouMean(name, variable.attributes?.keys() ?? []);
  const inData = variable.attributes?.has('data') === true;
  const hints = [near === undefined ? undefined : `${owner}.${near}`, inData ? `${owner}.data.${name}` : undefined];
  const hint = hints.filter((candidate) => candidate !== undefined).join(' or ');
  const offset = node.kind === 'select' ? node.fieldStart : node.index.start;
  throw new ExpressionError(
    `${owner} has no attribute "${name}"`,
    offset,
    node.kind === 'select' ? name.length : node.index.end - offset,
    hint === '' ? `It has ${[...(variable.attributes?.keys() ?? [])].join(', ')}.` : `Did you mean ${hint}?`,
  );
}

/** The key of a step when it is written out: a field, or a literal index. */
function staticKey(node: MemberNode, compiler: Compiler): unknown {
  if (node.kind === 'select') return node.field;
  const code = compiler.compile(node.index);
  return code.constant ? code.value : undefined;
}

function fromAttribute(
  attribute: Attribute,
  rest: readonly MemberNode[],
  missing: Fault,
  compiler: Compiler,
  probe: boolean,
): Code {
  const { entry, json } = attribute;
  const read: Evaluate = (scope) => attribute.read(scope);
  const [next] = rest;
  if (entry && next && !next.optional) {
    return walk(entryOf(entry, next, missing, compiler), rest.slice(1), missing, compiler, probe);
  }
  if (json && rest.every((node) => !node.optional)) {
    const keys = rest.map((node) => staticKey(node, compiler));
    if (keys.every(isPlainKey)) {
      return dynamic(json === 'event.data' ? readEventData(keys, missing) : readPlain(read, keys, missing));
    }
  }
  return walk(dynamic(orMissing(read, missing)), rest, missing, compiler, probe);
}

function orMissing(read: Evaluate, missing: Fault): Evaluate {
  return (scope) => {
    const value = read(scope);
    return value === undefined ? missing : value;
  };
}

function entryOf(entry: NonNullable<Attribute['entry']>, node: MemberNode, missing: Fault, compiler: Compiler): Code {
  const site = compiler.site(node);
  const key = node.kind === 'select' ? constant(node.field) : compiler.compile(node.index);
  return dynamic((scope) => {
    const name = key.run(scope);
    if (typeof name !== 'string')
      return name instanceof Fault ? name : site.fault(`${aTypeName(name)} is no key here`, name);
    const value = entry(scope, name);
    return value === undefined ? missing : value;
  });
}

function walk(root: Code, nodes: readonly MemberNode[], missing: Fault, compiler: Compiler, probe: boolean): Code {
  if (nodes.length === 0) return root;
  const steps = nodes.map((node) => stepOf(node, compiler));
  const run: Evaluate = (scope) => {
    let value = root.run(scope);
    if (value instanceof Fault) return value;
    for (const step of steps) {
      const key = step.run === undefined ? step.key : step.run(scope);
      if (key instanceof Fault) return key;
      const target: unknown = value instanceof Optional ? value.value : value;
      const found = lookup(target, key);
      if (found === undefined && probe) return missing;
      if (value instanceof Optional || step.optional) {
        if (found === undefined && typeof key === 'object') return badKey(target, key, step.site);
        value = found === undefined ? Optional.none : found instanceof Optional ? found : Optional.of(found);
      } else if (found === undefined) {
        return badKey(target, key, step.site) ?? missing;
      } else {
        value = found;
      }
    }
    return value;
  };
  const constantParts = root.constant && steps.every((step) => step.run === undefined);
  return constantParts ? fold([root], run) : dynamic(run);
}

function stepOf(node: MemberNode, compiler: Compiler): Step {
  const site = compiler.site(node);
  if (node.kind === 'select') return { key: node.field, run: undefined, optional: node.optional, site };
  const index = compiler.compile(node.index);
  return { key: index.value, run: index.constant ? undefined : index.run, optional: node.optional, site };
}

/** A key that could not be there whatever the event: an index out of range, a key of the wrong type. Else undefined. */
function badKey(target: unknown, key: unknown, site: Site): Fault | undefined {
  if (Array.isArray(target) && typeof key === 'number') {
    return Number.isInteger(key)
      ? site.fault(`index ${key} is out of range of a list of ${target.length}`, key)
      : site.fault(`an index is a whole number, not ${key}`, key);
  }
  if (key === null || typeof key === 'object') return site.fault(`${aTypeName(key)} cannot be a key`, key);
  return undefined;
}

/** A path as the configuration writes it: it becomes a label of a metric, so nothing of the event may be in it. */
function pathOf(root: Node, nodes: readonly MemberNode[], compiler: Compiler): string {
  const local = root.kind === 'name' ? compiler.locals.get(root.name) : undefined;
  const start = local ? local.path : compiler.text(root);
  return nodes.reduce(
    (path, node) => {
      if (node.kind === 'select') return `${path}.${node.field}`;
      return `${path}[${compiler.text(node.index)}]`;
    },
    start.length > 80 ? `${start.slice(0, 79)}…` : start,
  );
}

/** How a missing field of an element of this list is shown. */
export function elementPath(range: Node, compiler: Compiler): string {
  if (range.kind === 'select' || range.kind === 'index') {
    const { root, nodes } = chainOf(range);
    return `${pathOf(root, nodes, compiler)}[]`;
  }
  const local = range.kind === 'name' ? compiler.locals.get(range.name) : undefined;
  return `${local?.path ?? compiler.text(range).slice(0, 80)}[]`;
}
