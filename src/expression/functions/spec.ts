/** What a function of expressions is. */

import type { Code, Evaluate } from '../compile/compiler.ts';
import type { Fault, Site } from '../fault.ts';
import { aTypeName } from '../values.ts';

export interface FunctionSpec {
  readonly name: string;
  /** Called as `name(value)`, as `value.name()`, or either way. */
  readonly form: 'function' | 'method' | 'both';
  /** How many arguments at least and at most, the receiver of a method among them. */
  readonly args: readonly [least: number, most: number];
  /** The hint when it is called with too few or too many. */
  readonly usage: string;
  /** Its answer is another one each time, or depends on more than its arguments: not evaluated at load. */
  readonly impure?: true;
  /** Takes any number of arguments. */
  readonly spread?: true;
  /** A value or a Fault made by the site. Absent arguments are undefined; faults never arrive here. */
  call(site: Site, ...args: readonly unknown[]): unknown;
  /** A faster way for arguments that are known at load. Throws ExpressionError when they can never work. */
  prepare?(site: Site, args: readonly Code[], places: readonly Site[]): Evaluate | undefined;
}

/** `lower() takes a string, not a number`. */
export const wrongType = (site: Site, name: string, expected: string, value: unknown): Fault =>
  site.fault(`${name}() takes ${expected}, not ${aTypeName(value)}`, value);

/** An answer of undefined is "out of range". */
export const orOutOfRange = (site: Site, name: string, value: unknown, input: unknown): unknown =>
  value ?? site.fault(`${name}(): the value is out of range`, input);
