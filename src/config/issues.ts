/** zod's issues → problems at their places, in the words of this configuration. */
import type { z } from 'zod';
import { ERRORS, type ErrorCode } from '../errors.ts';
import type { IssueDetails } from './fields.ts';
import { choicesOf, expectation, schemaAt, shapeOf, stringKind } from './introspect.ts';
import { clip, type ConfigProblem, problemAt } from './problems.ts';
import { isSecretField, isUrlField } from './secrets.ts';
import {
  type ConfigPath,
  nearestNode,
  nodeAt,
  type SourceNode,
  type Span,
  spanInside,
  spanInToken,
  spanOf,
} from './source.ts';
import { nearest, suggestion } from './suggest.ts';
import { isUnbalanced, quoteHint, valueExtent } from './unquoted.ts';

export interface IssueContext {
  readonly schema: z.ZodType;
  /** The value that was checked. */
  readonly value: unknown;
  readonly root: SourceNode;
}

type Issue = z.core.$ZodIssue;

const pathOf = (issue: { readonly path: readonly PropertyKey[] }): ConfigPath =>
  issue.path.map((segment) => (typeof segment === 'number' ? segment : String(segment)));

/** Nobody reads more; a file that is no configuration at all has thousands. */
const MAX_PROBLEMS = 500;

/** The problems that the issues of a value stand for, the first of them where there are very many. */
export function problemsOfAll(issues: readonly Issue[], context: IssueContext): ConfigProblem[] {
  const misspelt = new Set(
    issues.filter(({ code }) => code === 'unrecognized_keys').map(({ path }) => JSON.stringify(path)),
  );
  const problems: ConfigProblem[] = [];
  for (const issue of issues) {
    if (problems.length >= MAX_PROBLEMS) break;
    // What an entry is cannot be said where the key that says it is misspelt.
    if (detailsOf(issue)?.code === 'CONFIG_MISSING_KEY' && misspelt.has(JSON.stringify(issue.path))) continue;
    problems.push(...problemsOf(issue, context));
  }
  return problems;
}

/** The problems that an issue stands for. */
function problemsOf(issue: Issue, context: IssueContext, above: ConfigPath = []): ConfigProblem[] {
  const path = [...above, ...pathOf(issue)];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.slice(0, MAX_PROBLEMS).map((key) => unknownKey([...path, key], context));
    case 'invalid_key':
      return issue.issues.map((inner) => keyProblem(inner, path, context));
    case 'invalid_union':
      return unionProblems(issue, path, context);
    default:
      return [valueProblem(issue, path, context)];
  }
}

function unknownKey(path: ConfigPath, { schema, root }: IssueContext): ConfigProblem {
  const key = String(path.at(-1));
  const parent = schemaAt(schema, path.slice(0, -1));
  const known = Object.keys((parent && shapeOf(parent)) ?? {});
  const node = nearestNode(root, path);
  const message = `unknown key "${clip(key)}"`;
  return problemAt(node.file, node.key ?? spanOf(node), {
    code: 'CONFIG_UNKNOWN_KEY',
    message,
    hint: suggestion(key, known),
    path,
  });
}

/** A key of a mapping of names or paths that cannot be one. */
function keyProblem(issue: Issue, path: ConfigPath, { root }: IssueContext): ConfigProblem {
  const node = nearestNode(root, path);
  const details = detailsOf(issue);
  const { key } = node;
  const span =
    key !== undefined && details?.offset !== undefined
      ? spanInToken(node.file, key, details.offset, details.offset + (details.length ?? 1))
      : (key ?? spanOf(node));
  const message = issue.code === 'custom' ? issue.message : `"${clip(String(path.at(-1)))}" cannot be a key here`;
  return problemAt(node.file, span, {
    code: details?.code ?? 'CONFIG_INVALID_VALUE',
    message,
    hint: details?.hint,
    path,
  });
}

/** Of the alternatives of a union, the one that was meant: whose kind the value is. */
function unionProblems(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: ConfigPath,
  context: IssueContext,
): ConfigProblem[] {
  const meant = issue.errors.filter((errors) => !errors.some((each) => each.path.length === 0 && isOfKind(each)));
  const [best] = [...meant].sort((a, b) => a.length - b.length);
  if (best === undefined) return [valueProblem(issue, path, context)];
  return best.flatMap((each) => problemsOf(each, context, path));
}

/** Whether an issue says that the value is of another kind altogether. */
const isOfKind = (issue: Issue): boolean => issue.code === 'invalid_type' || issue.code === 'invalid_value';

function valueProblem(issue: Issue, path: ConfigPath, context: IssueContext): ConfigProblem {
  const { schema, root } = context;
  const node = nodeAt(root, path);
  if (node === undefined) return missingKey(issue, path, context);
  const value = valueAt(context.value, path);
  const hidden = holdsSecret(node, path);
  const field = schemaAt(schema, path);
  const expected = field === undefined ? 'another value' : expectation(field);
  const details = detailsOf(issue);
  const at = (span: Span, code: ErrorCode, message: string, hint?: string): ConfigProblem =>
    problemAt(node.file, span, { code, message, hint, path });

  if (details !== undefined && insertsSecret(node))
    return at(
      spanOf(node),
      details.code,
      `expected ${expected}; what is there is not shown, since a secret is part of it`,
    );
  if (details !== undefined) return detailedProblem(issue.message, details, node, path, value);
  const span = spanOf(node);
  const shown = hidden ? kindOf(value) : found(value);
  switch (issue.code) {
    case 'invalid_type':
    case 'invalid_union':
      return at(
        span,
        'CONFIG_INVALID_VALUE',
        `expected ${expected}, found ${shown}`,
        typeHint(issue, value, hidden, field),
      );
    case 'invalid_value':
      if (path.length === 1 && path[0] === 'version')
        return at(span, 'CONFIG_VERSION', `this Ouzel reads version 1, not ${shown}`, 'write version: 1');
      return at(
        span,
        'CONFIG_INVALID_VALUE',
        `expected ${expected}, found ${shown}`,
        typeof value === 'string' && !hidden ? suggestion(value, issue.values.map(String)) : undefined,
      );
    case 'too_small':
    case 'too_big':
      return at(span, 'CONFIG_INVALID_VALUE', boundMessage(issue, expected, shown));
    default:
      return at(span, 'CONFIG_INVALID_VALUE', `${plain(issue.message)}: expected ${expected}, found ${shown}`);
  }
}

const plain = (message: string): string => message.charAt(0).toLowerCase() + message.slice(1);

function boundMessage(
  issue: Extract<Issue, { code: 'too_small' | 'too_big' }>,
  expected: string,
  shown: string,
): string {
  const least = issue.code === 'too_small';
  const bound = String(least ? issue.minimum : issue.maximum);
  if (issue.origin === 'string') return 'it is empty';
  if (issue.origin === 'array')
    return least && bound === '1' ? 'the list is empty' : `at ${least ? 'least' : 'most'} ${bound} entries`;
  return `expected ${expected} of at ${least ? 'least' : 'most'} ${bound}, found ${shown}`;
}

/** What a field of `fields.ts` says itself, with the caret inside of the text where it knows where. */
function detailedProblem(
  message: string,
  details: IssueDetails,
  node: SourceNode,
  path: ConfigPath,
  value: unknown,
): ConfigProblem {
  const { offset, length } = details;
  const span = offset === undefined ? spanOf(node) : spanInside(node, offset, length ?? 1);
  if (details.code === 'CONFIG_EXPRESSION') {
    const cut = cutByComment(node);
    if (cut !== undefined) {
      const hint = quoteHint(node.file.text.slice(cut.start, cut.end));
      const text = 'YAML took this expression apart: # begins a comment';
      return problemAt(node.file, cut, { code: 'CONFIG_UNQUOTED_EXPRESSION', message: text, hint, path });
    }
  }
  const hint = inOneTone(details.hint) ?? literalHint(details.code, node, value);
  return problemAt(node.file, span, { code: details.code, message: clip(message, 300), hint, path });
}

/** Hints begin small and end without a full stop, wherever they come from. */
const inOneTone = (hint: string | undefined): string | undefined =>
  hint?.replace(/^[A-Z](?=[a-z])/, (first) => first.toLowerCase()).replace(/\.$/, '');

/** `a == "x # y"` without quotes around it: the comment took the rest. */
function cutByComment(node: SourceNode): Span | undefined {
  const { token, file } = node;
  if (token?.style !== 'PLAIN' || !isUnbalanced(token.value)) return undefined;
  const { end } = file.line(file.lineAt(token.end));
  if (!/^[ \t]+#/.test(file.text.slice(token.end, end))) return undefined;
  return {
    start: token.start,
    end: valueExtent(file.text.slice(0, end).replaceAll('#', '·'), token.start, end, false).end,
  };
}

/** `kind: order`, where a text was meant: an expression needs its own quotes. */
function literalHint(code: ErrorCode, node: SourceNode, value: unknown): string | undefined {
  if (code !== 'CONFIG_EXPRESSION' || typeof value !== 'string' || !/^[\p{L}\p{N} _/:-]{1,40}$/u.test(value))
    return undefined;
  return node.insertions === undefined ? `this is an expression; for the text itself write "'${value}'"` : undefined;
}

function missingKey(issue: Issue, path: ConfigPath, { schema, root }: IssueContext): ConfigProblem {
  const parent = nearestNode(root, path);
  const key = String(path.at(-1));
  const field = schemaAt(schema, path);
  const description = field?.description ?? field?.meta()?.description;
  const details = detailsOf(issue);
  const message = details === undefined ? `"${clip(key)}" is missing` : issue.message;
  return problemAt(parent.file, spanOf(parent), {
    code: details?.code ?? 'CONFIG_MISSING_KEY',
    message,
    hint:
      details?.hint ??
      (key === 'version' && path.length === 1 ? 'write version: 1' : description && `${key}: ${description}`),
    path,
  });
}

const isErrorCode = (code: unknown): code is ErrorCode => typeof code === 'string' && Object.hasOwn(ERRORS, code);

function detailsOf(issue: Issue): IssueDetails | undefined {
  if (issue.code !== 'custom') return undefined;
  const { code, offset, length, hint } = issue.params ?? {};
  return {
    code: isErrorCode(code) ? code : 'CONFIG_INVALID_VALUE',
    ...(typeof offset === 'number' ? { offset } : {}),
    ...(typeof length === 'number' ? { length } : {}),
    hint: typeof hint === 'string' ? hint : undefined,
  };
}

/** Whether a value must not be shown. */
const holdsSecret = (node: SourceNode, path: ConfigPath): boolean =>
  isSecretField(path) || isUrlField(path) || insertsSecret(node);

const insertsSecret = (node: SourceNode): boolean => (node.insertions ?? []).some(({ secret }) => secret);

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  if (typeof value === 'number') return 'a number';
  return typeof value === 'boolean' ? 'true or false' : 'text';
}

function found(value: unknown): string {
  if (typeof value === 'string') return `"${clip(value)}"`;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : kindOf(value);
}

const nearHint = (word: string, candidates: readonly string[]): string | undefined => {
  const near = nearest(word, candidates);
  return near === undefined ? undefined : `did you mean "${near}"?`;
};

function typeHint(issue: Issue, value: unknown, hidden: boolean, field: z.ZodType | undefined): string | undefined {
  const wantsText =
    (issue.code === 'invalid_type' && issue.expected === 'string') ||
    (issue.code === 'invalid_union' &&
      issue.errors.some((each) => each.some((one) => one.code === 'invalid_type' && one.expected === 'string')));
  if (value === null) return 'write a value, or leave the key out';
  if (typeof value === 'string' && !hidden && field !== undefined) {
    if (expectation(field).includes('number') && /^-?\d+(?:\.\d+)?$/.test(value)) return `without quotes: ${value}`;
    return nearHint(value, choicesOf(field));
  }
  const kind = field === undefined ? undefined : stringKind(field);
  if (kind === 'duration' && typeof value === 'number') return 'write a number with a unit: 250ms, 30s, 5m, 2h, 7d';
  if (kind === 'address') return 'write host:port, for example 127.0.0.1:9464';
  if (!wantsText || (typeof value !== 'number' && typeof value !== 'boolean')) return undefined;
  return hidden ? 'put it in quotes' : `put it in quotes: "${String(value)}"`;
}

/** What stands at a path of plain values. */
export function valueAt(value: unknown, path: ConfigPath): unknown {
  let each = value;
  for (const segment of path) {
    if (typeof each !== 'object' || each === null || !Object.hasOwn(each, segment)) return undefined;
    each = (each as Record<string, unknown>)[segment];
  }
  return each;
}
