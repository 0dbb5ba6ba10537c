/** Expressions, templates and paths of the configuration. Reference: docs/reference/expressions.md */

export type { Evaluate } from './compile/compiler.ts';
export { ExpressionError } from './error.ts';
export { Expression, parseExpression } from './expression.ts';
export { Fault, isFault } from './fault.ts';
export { configureHash } from './functions/miscellaneous.ts';
export { toJson, toJsonText, toText } from './json.ts';
export { parsePath } from './path.ts';
export type { Path } from './path.ts';
export { Template, parseTemplate } from './template.ts';
export type { BoundTemplate } from './template.ts';
export type { ErrorView, EventView, MessageView, RequestView, Scope, ScopeKind } from './types.ts';
