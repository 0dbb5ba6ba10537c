/**
 * The kinds of value that configuration is made of. Three kinds of string are told apart by the field, never by what
 * stands in it: literal, expression, and text with `{{ expression }}`.
 */
import { z } from 'zod';
import {
  type Expression,
  ExpressionError,
  parseExpression,
  parsePath,
  parseTemplate,
  type Path,
  type Template,
} from '../expression/index.ts';
import type { ErrorCode } from '../errors.ts';
import type { ScopeKind } from '../expression/types.ts';
import { pathProblem } from '../pipeline/slots.ts';

/** What an issue of a field says beyond its message: `load.ts` puts the caret there. */
export interface IssueDetails {
  readonly code: ErrorCode;
  /** Where in the string, and how long. */
  readonly offset?: number;
  readonly length?: number;
  /** What was expected, or what to do. */
  readonly hint?: string | undefined;
}

interface IssueSink {
  addIssue(issue: { code: 'custom'; message: string; input: unknown; params: Record<string, unknown> }): void;
}

const report = (context: IssueSink, input: unknown, message: string, details: IssueDetails): void =>
  context.addIssue({ code: 'custom', message, input, params: { ...details } });

/** Runs a parser of strings and turns its `ExpressionError` into an issue with the place inside the string. */
function parsed<T>(context: IssueSink, input: unknown, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    const { offset, length, hint } = error;
    report(context, input, error.message, { code: 'CONFIG_EXPRESSION', offset, length, hint });
    return z.NEVER;
  }
}

/** A string that is taken as it stands. */
export const literal = () => z.string().min(1);

const scalar = z.union([z.string().min(1), z.number(), z.boolean()]);

/** An expression. A YAML number or boolean is an expression too. */
export const expression = (scope: ScopeKind = 'event') =>
  scalar
    .transform((value, context): Expression => parsed(context, value, () => parseExpression(String(value), scope)))
    .meta({ strings: 'expression' });

/** Text with `{{ expression }}` in it. */
export const template = (scope: ScopeKind = 'event') =>
  z
    .union([z.string(), z.number(), z.boolean()])
    .transform((value, context): Template => parsed(context, value, () => parseTemplate(String(value), scope)))
    .meta({ strings: 'template' });

function checkPath(context: IssueSink, value: string): Path {
  const result = parsed(context, value, () => parsePath(value));
  const problem = result === z.NEVER ? undefined : pathProblem(result);
  if (problem !== undefined)
    report(context, value, `"${value}" cannot be changed: ${problem}`, { code: 'CONFIG_EXPRESSION' });
  return result;
}

/** A path to what a transformer changes: `data.customer.name`, `type`, `ext.tenant`. */
export const path = () =>
  z
    .string()
    .min(1)
    .transform((value, context): Path => checkPath(context, value))
    .meta({ strings: 'path' });

/** The same as a key of a mapping, where it stays text; `pathsOf` parses it. */
export const eventPath = () =>
  z
    .string()
    .min(1)
    .superRefine((value, context) => void checkPath(context, value));

/** The entries of a mapping whose keys are `eventPath`. */
export const pathsOf = <T>(mapping: Readonly<Record<string, T>>): [Path, T][] =>
  Object.entries(mapping).map(([key, value]) => [parsePath(key), value]);

/** A JSON-like value in which every string was parsed; what is not a string is itself. */
type Tree<Leaf> = Leaf | number | boolean | null | readonly Tree<Leaf>[] | { readonly [key: string]: Tree<Leaf> };

/** Every string is an expression. */
export type ValueTree = Tree<Expression>;

/** Every string is text with `{{ expression }}`. */
export type TemplateTree = Tree<Template>;

function treeOf<Leaf>(
  value: unknown,
  context: z.RefinementCtx,
  at: (string | number)[],
  parse: (text: string) => Leaf,
): Tree<Leaf> {
  if (typeof value === 'string') {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      const { offset, length, hint } = error;
      const issue = { code: 'custom', message: error.message, input: value, path: at } as const;
      context.addIssue({ ...issue, params: { code: 'CONFIG_EXPRESSION', offset, length, hint } });
      return null;
    }
  }
  if (Array.isArray(value)) return value.map((item, index) => treeOf(item, context, [...at, index], parse));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, treeOf(item, context, [...at, key], parse)]),
    );
  return value as number | boolean | null;
}

/** See {@link ValueTree}. */
export const valueTree = () =>
  z
    .json()
    .transform((value, context): ValueTree => treeOf(value, context, [], (text) => parseExpression(text, 'event')))
    .meta({ strings: 'expression' });

/** See {@link TemplateTree}. */
export const templateTree = (scope: ScopeKind = 'event') =>
  z
    .json()
    .transform((value, context): TemplateTree => treeOf(value, context, [], (text) => parseTemplate(text, scope)))
    .meta({ strings: 'template' });

/** `90000` → `1m30s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return '0';
  let rest = milliseconds;
  let text = '';
  for (const [unit, length] of Object.entries(MILLISECONDS).reverse()) {
    const amount = unit === 'ms' ? rest : Math.floor(rest / length);
    if (amount > 0) text += `${amount}${unit}`;
    rest -= amount * length;
  }
  return text;
}

const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;
const DURATION_PART = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/g;
const MILLISECONDS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `250ms 30s 5m 2h 7d 1h30m`; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART))
    total += Number(amount) * (MILLISECONDS[unit ?? ''] ?? 0);
  return total;
}

/** A duration, as milliseconds. `0` alone is allowed where `min` is 0. */
export const duration = ({ min = 1, max = 366 * 86_400_000 }: { min?: number; max?: number } = {}) =>
  z
    .union([z.string(), z.literal(0)])
    .transform((value, context): number => {
      const milliseconds = value === 0 ? 0 : parseDuration(value);
      if (milliseconds === undefined)
        report(context, value, `"${value}" is not a duration`, {
          code: 'CONFIG_INVALID_VALUE',
          hint: 'write a number with a unit: 250ms, 30s, 5m, 2h, 7d',
        });
      else if (milliseconds < min || milliseconds > max)
        report(context, value, `"${value}" is out of bounds`, {
          code: 'CONFIG_INVALID_VALUE',
          hint: `from ${formatDuration(min)} to ${formatDuration(max)}`,
        });
      else return milliseconds;
      return z.NEVER;
    })
    .meta({ strings: 'duration' });

const SIZE = /^(\d+(?:\.\d+)?)(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$/;
const BYTES: Record<string, number> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** A size, as bytes. A plain number is bytes. */
export const size = () =>
  z
    .union([z.string(), z.number().int().positive()])
    .transform((value, context): number => {
      if (typeof value === 'number') return value;
      const [, amount, unit] = SIZE.exec(value) ?? [];
      if (amount !== undefined && unit !== undefined) return Math.round(Number(amount) * (BYTES[unit] ?? 1));
      report(context, value, `"${value}" is not a size`, {
        code: 'CONFIG_INVALID_VALUE',
        hint: 'write a number with a unit: 64KiB, 10MiB, 1GB',
      });
      return z.NEVER;
    })
    .meta({ strings: 'size' });

/** `host:port`, where the host may be left out (all interfaces) and an IPv6 address stands in brackets. */
const ADDRESS = /^(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]*)):(\d{1,5})$/;

/** Where a listener listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:9464`, `[::1]:9464`, `:9464`. Port 0 lets the system choose. */
export const address = () =>
  z
    .string()
    .transform((value, context): Address => {
      const [, six, four, digits] = ADDRESS.exec(value) ?? [];
      const port = Number(digits);
      if (digits !== undefined && port <= 65_535)
        return { host: six ?? (four === '' ? '0.0.0.0' : (four ?? '')), port };
      report(context, value, `"${value}" is not an address to listen on`, {
        code: 'CONFIG_INVALID_VALUE',
        hint: 'write host:port, for example 127.0.0.1:9464',
      });
      return z.NEVER;
    })
    .meta({ strings: 'address' });

/** Why a text is no subject, or undefined when it is one. */
export function subjectProblem(subject: string, wildcards: boolean): string | undefined {
  // oxlint-disable-next-line no-control-regex -- control characters are what must not get into a subject
  if (/[\s\u0000-\u001f\u007f]/u.test(subject)) return 'has a space in it';
  const tokens = subject.split('.');
  if (tokens.includes('')) return 'has an empty token (two dots, or a dot at an end)';
  if (!wildcards && tokens.some((token) => token === '*' || token === '>')) return 'has a wildcard';
  if (tokens.slice(0, -1).includes('>')) return 'has ">" before its end';
  if (tokens.some((token) => token.length > 1 && /[*>]/.test(token))) return 'has a wildcard inside a token';
  return undefined;
}

/** A subject or, with wildcards, a pattern of subjects. */
export const subject = ({ wildcards = true }: { wildcards?: boolean } = {}) =>
  z
    .string()
    .min(1)
    .superRefine((value, context) => {
      const problem = subjectProblem(value, wildcards);
      if (problem !== undefined)
        report(context, value, `the subject "${value}" ${problem}`, {
          code: 'CONFIG_INVALID_VALUE',
          hint: wildcards
            ? 'for example events.>, events.orders.*, events.orders.created'
            : 'for example events.orders.created',
        });
    })
    .meta({ strings: 'subject' });

/** A moment in time, kept as text. */
export const instant = () =>
  z
    .string()
    .superRefine((value, context) => {
      if (
        /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/.test(value) &&
        !Number.isNaN(Date.parse(value))
      )
        return;
      report(context, value, `"${value}" is not an instant`, {
        code: 'CONFIG_INVALID_VALUE',
        hint: 'write date, time and zone: 2026-01-31T08:00:00Z',
      });
    })
    .meta({ strings: 'instant' });

/** The path of a file, relative to the file that names it. `load.ts` makes it absolute. */
export const filePath = () => z.string().min(1).meta({ strings: 'file' });

/** Names of things: what may stand in a durable's name, a subject token and a label. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

/** Names that every JavaScript object has: looked up in a section, they would be found where nobody wrote them. */
const FORBIDDEN: ReadonlySet<string> = new Set([...Object.getOwnPropertyNames(Object.prototype), 'prototype']);

/** A name that the configuration gives to something. */
export const name = () =>
  z
    .string()
    .superRefine((value, context) => {
      if (NAME.test(value) && !FORBIDDEN.has(value)) return;
      report(context, value, `"${value}" cannot be a name`, {
        code: 'CONFIG_INVALID_VALUE',
        hint: NAME.test(value)
          ? 'the language that Ouzel is written in keeps it for itself'
          : 'a name has letters, digits, - and _, starts with a letter or digit, and is at most 63 long',
      });
    })
    .meta({ strings: 'name' });

/** A section in which each key is a name. */
export const named = <T extends z.ZodType>(schema: T) => z.record(name(), schema);

/** A type of events as a key: exact, of the characters that a key of KV, a subject and a path of a URL can hold. */
const EVENT_TYPE = /^(?=.{1,200}$)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;

/** The type of an event, where it names an entry. */
export const eventType = () =>
  z
    .string()
    .superRefine((value, context) => {
      if (EVENT_TYPE.test(value) && !FORBIDDEN.has(value)) return;
      report(context, value, `"${value}" cannot be the type of an entry`, {
        code: 'CONFIG_INVALID_VALUE',
        hint: 'an exact type, without wildcards: letters, digits, - and _, in parts separated by dots, at most 200 long',
      });
    })
    .meta({ strings: 'name' });
