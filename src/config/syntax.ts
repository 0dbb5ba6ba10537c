/** YAML's complaints in words that say what to do, without those that only follow from others. */
import { type Document, type Scalar, visit, type YAMLParseError } from 'yaml';
import type { ErrorCode } from '../errors.ts';
import { type ConfigProblem, problemAt } from './problems.ts';
import type { SourceFile, Span } from './source.ts';
import { quoteHint, unquotedAt } from './unquoted.ts';

export interface SyntaxFindings {
  readonly problems: readonly ConfigProblem[];
  /** Lines on which YAML took something apart. */
  readonly damaged: ReadonlySet<number>;
  /** From here on the structure is not to be trusted. */
  readonly brokenAt: number;
}

/** Complaints that an unquoted expression can be behind. */
const BY_EXPRESSIONS: ReadonlySet<string> = new Set([
  'BLOCK_AS_IMPLICIT_KEY',
  'BLOCK_IN_FLOW',
  'UNEXPECTED_TOKEN',
  'BAD_SCALAR_START',
  'MULTIPLE_ANCHORS',
  'MISSING_CHAR',
  'BAD_ALIAS',
  'ALIAS_PROPS',
  'MULTIPLE_TAGS',
  'TAG_RESOLVE_FAILED',
  'BAD_PROP_ORDER',
  'BAD_INDENT',
]);

interface Wording {
  readonly code?: ErrorCode;
  readonly span: Span;
  readonly message: string;
  readonly hint?: string;
}

/** The complaints of the parser about a document. */
export function syntaxProblems(file: SourceFile, document: Document.Parsed): SyntaxFindings {
  const problems: ConfigProblem[] = [];
  const damaged = new Set<number>();
  let brokenAt = Infinity;
  const errors = [...document.errors].sort((a, b) => a.pos[0] - b.pos[0]);
  for (const error of errors) {
    const line = file.lineAt(Math.min(error.pos[0], file.text.length));
    if (damaged.has(line)) continue;
    const unquoted =
      isUnclosedQuote(error) || !BY_EXPRESSIONS.has(error.code) ? undefined : unquotedAt(file, error.pos[0]);
    // What comes after a break is mostly its consequence; an expression on another line is not.
    if (brokenAt < Infinity && unquoted === undefined) continue;
    damaged.add(line);
    if (unquoted === undefined) {
      const { code = 'CONFIG_SYNTAX', span, message, hint } = wording(file, document, error);
      problems.push(problemAt(file, span, { code, message, hint }));
      damaged.add(file.lineAt(span.start));
      brokenAt = Math.min(brokenAt, span.start, error.pos[0]);
      continue;
    }
    const message = 'YAML took this expression apart';
    const hint = quoteHint(file.text.slice(unquoted.start, unquoted.end));
    problems.push(problemAt(file, unquoted, { code: 'CONFIG_UNQUOTED_EXPRESSION', message, hint }));
    damaged.add(file.lineAt(unquoted.start));
    // In block style the parser finds its feet on the next line; inside of { } and [ ] it does not.
    const { start } = file.line(line);
    if (/[{[]/.test(file.text.slice(start, unquoted.start))) brokenAt = Math.min(brokenAt, unquoted.start);
  }
  return { problems, damaged, brokenAt };
}

const isUnclosedQuote = (error: YAMLParseError): boolean => /^Missing closing ['"]quote/.test(error.message);

function wording(file: SourceFile, document: Document.Parsed, error: YAMLParseError): Wording {
  const start = Math.min(error.pos[0], file.text.length);
  const span = { start, end: Math.max(Math.min(error.pos[1], file.text.length), start + 1) };
  switch (error.code) {
    case 'TAB_AS_INDENT': {
      const tabs = /^\t+/.exec(file.text.slice(start))?.[0].length ?? 1;
      return { span: { start, end: start + tabs }, message: 'a tab cannot indent', hint: 'indent with spaces' };
    }
    case 'MISSING_CHAR': {
      const quoted = isUnclosedQuote(error) ? unclosed(file, document) : undefined;
      if (quoted !== undefined) {
        const mark = file.text[quoted] ?? '"';
        const message = `the quote that opens here is not closed`;
        return { span: { start: quoted, end: quoted + 1 }, message, hint: `close it with ${mark}` };
      }
      if (error.message.startsWith('Implicit map keys'))
        return { span, message: 'there is no ":" behind this key', hint: 'write key: value' };
      return openBracket(file, error) ?? { span, message: plain(error.message) };
    }
    case 'MULTILINE_IMPLICIT_KEY':
    case 'BLOCK_AS_IMPLICIT_KEY':
      return {
        span: firstLine(file, span),
        message:
          error.code === 'MULTILINE_IMPLICIT_KEY' ? 'there is no ":" behind this key' : 'a mapping cannot begin here',
        hint: 'write key: value; a value with ": " in it goes in quotes; what belongs together is indented alike',
      };
    case 'BAD_INDENT': {
      const bracket = openBracket(file, error);
      if (bracket !== undefined) return bracket;
      return {
        span: firstLine(file, restOfLine(file, start)),
        message: 'the indentation fits nothing above',
        hint: 'indent entries of one mapping or list alike',
      };
    }
    case 'BAD_SCALAR_START':
      return { span, message: `a value cannot begin with ${file.text[start] ?? ''}`, hint: 'put it in quotes' };
    case 'BAD_DQ_ESCAPE':
      return {
        span,
        message: plain(error.message),
        hint: "write \\\\ for a backslash, or use '…', which has no escapes",
      };
    case 'RESOURCE_EXHAUSTION':
      return { span, message: 'it is nested too deep' };
    case 'UNEXPECTED_TOKEN':
      return {
        span: firstLine(file, span),
        message: 'this cannot stand here',
        hint: 'a value with special characters goes in quotes',
      };
    default:
      return { span: firstLine(file, span), message: plain(error.message) };
  }
}

/** Where the quoted scalar begins that is not closed: the last one before the end that lacks its mark. */
function unclosed(file: SourceFile, document: Document.Parsed): number | undefined {
  let found: number | undefined;
  visit(document, {
    Scalar: (_key, node) => {
      if (node.type !== 'QUOTE_DOUBLE' && node.type !== 'QUOTE_SINGLE') return;
      const [start, end] = (node as Scalar.Parsed).range;
      const text = file.text.slice(start, end).trimEnd();
      if (text.length < 2 || text.at(-1) !== text[0]) found = start;
      else found ??= end >= file.text.trimEnd().length ? start : undefined;
    },
  });
  return found;
}

/** The `{` or `[` that a complaint about its missing end is about. */
function openBracket(file: SourceFile, error: YAMLParseError): Wording | undefined {
  const close = /end with a ([}\]])/.exec(error.message)?.[1];
  if (close === undefined) return undefined;
  const open = close === '}' ? '{' : '[';
  let depth = 0;
  for (let at = Math.min(error.pos[0], file.text.length) - 1; at >= 0; at--) {
    if (file.text[at] === close) depth++;
    else if (file.text[at] === open && depth-- === 0)
      return {
        span: { start: at, end: at + 1 },
        message: `the ${open} that opens here is not closed`,
        hint: `close it with ${close}`,
      };
  }
  return undefined;
}

const restOfLine = (file: SourceFile, start: number): Span => ({ start, end: file.line(file.lineAt(start)).end });

/** A span, or the part of it that is on its first line. */
function firstLine(file: SourceFile, span: Span): Span {
  const { end } = file.line(file.lineAt(span.start));
  return { start: span.start, end: Math.max(span.start + 1, Math.min(span.end, end)) };
}

const plain = (message: string): string => message.charAt(0).toLowerCase() + message.slice(1);
