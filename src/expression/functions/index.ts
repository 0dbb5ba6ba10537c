/** All functions of expressions. A function is one entry in one of these tables, and one row in docs/reference/expressions.md. */

import { CONVERSIONS } from './conversions.ts';
import { MATHEMATICS } from './mathematics.ts';
import { MISCELLANEOUS } from './miscellaneous.ts';
import type { FunctionSpec } from './spec.ts';
import { STRINGS } from './strings.ts';
import { TIMES } from './times.ts';

export const FUNCTIONS: ReadonlyMap<string, FunctionSpec> = new Map(
  [...STRINGS, ...CONVERSIONS, ...MATHEMATICS, ...TIMES, ...MISCELLANEOUS].map((spec) => [spec.name, spec]),
);

export const functionNames = (): readonly string[] => [...FUNCTIONS.keys()];
