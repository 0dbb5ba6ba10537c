/** What is wrong with a configuration: collected, shown with the line and a caret, thrown all at once. */
import { type ErrorCode, formatPlace, OuzelError, type Place } from '../errors.ts';
import type { ConfigPath, SourceFile, Span } from './source.ts';

/** A line of a file, ready to be shown: control characters, secrets and what is too long are out of it. */
export interface Excerpt {
  readonly line: number;
  readonly text: string;
  /** Columns of a terminal before the caret, and under it. */
  readonly indent: number;
  readonly width: number;
}

export interface ConfigProblem {
  readonly code: ErrorCode;
  /** Undefined where no file was found. */
  readonly place: Place | undefined;
  readonly message: string;
  /** What was expected, what was meant, or what to do. */
  readonly hint: string | undefined;
  /** `consumers.billing.deliver[0].to`, or empty. */
  readonly path: string;
  readonly excerpt: Excerpt | undefined;
}

/** All that is wrong with a configuration. Its message is the text to show. */
export class ConfigError extends OuzelError {
  readonly problems: readonly ConfigProblem[];

  /** Files beside the configuration itself that it failed on or depends on: what to watch for it to be mended. */
  readonly files: readonly string[];

  constructor(problems: readonly ConfigProblem[], files: readonly string[] = []) {
    super(problems[0]?.code ?? 'CONFIG_INVALID_VALUE', renderProblems(problems), { place: problems[0]?.place });
    this.name = 'ConfigError';
    this.problems = problems;
    this.files = files;
  }
}

/** `consumers.billing.deliver[0].to`; a key that is no plain word stands in brackets. */
export const formatPath = (path: ConfigPath): string =>
  path
    .map((segment, index) => {
      if (typeof segment === 'number') return `[${segment}]`;
      if (!/^[\w-]+$/.test(segment)) return `[${JSON.stringify(clip(segment))}]`;
      return index === 0 ? segment : `.${segment}`;
    })
    .join('');

const LONGEST_QUOTE = 60;

/** A text for a message: control characters made visible, cut where it is long. */
export function clip(text: string, longest = LONGEST_QUOTE): string {
  const shown = printable(text);
  return shown.length > longest ? `${shown.slice(0, longest - 1)}…` : shown;
}

// oxlint-disable-next-line no-control-regex -- control characters are what must not reach a terminal
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;

/** Line ends and tabs become spaces, other control characters a dot. */
const printable = (text: string): string =>
  text.replace(CONTROL, (character) => (/[\t\n\r\u2028\u2029]/.test(character) ? ' ' : '·'));

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
const NO_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u;

/** Columns of a terminal that a text takes. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) width += NO_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}

/** Literal secrets in a line of YAML, by the key before them or as the password of a URL. */
const SECRET_VALUE =
  /((?:^|[\s{,"'])(?:token|bearer|password|passwd|secret|client_secret|nkey|seed|api_?key|private_?key)["']?\s*:\s+)(\$\{[^}]*\}|"(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?|[^\s,}#]+)/gi;
/** Keys of Standard Webhooks, wherever they stand. */
const SECRET_KEY = /(\bwhs(?:ec|k)_)([\w+/=]+)/g;
const SECRET_USERINFO = /(:\/\/)([^\s/@"']+)(?=@)/g;

/** Stars in place of secrets, one a character, so that carets stay where they belong. */
const masked = (line: string): string =>
  [SECRET_VALUE, SECRET_KEY, SECRET_USERINFO].reduce(
    (text, pattern) =>
      text.replace(pattern, (whole: string, before: string, secret: string) =>
        /^["']?\$\{[^}]*\}["']?$/.test(secret) ? whole : before + '*'.repeat(secret.length),
      ),
    line,
  );

/** Characters of a line that are shown. */
const WINDOW = 110;
const BEFORE = 50;
/** Characters around a span that are looked through for secrets. */
const AROUND = 400;

/** The first line of a span, with a caret under the part of it that the span covers. */
function excerptOf(file: SourceFile, span: Span): Excerpt | undefined {
  if (file.text === '') return undefined;
  const number = file.lineAt(span.start);
  const line = file.line(number);
  // Far from the span nothing is shown; a line may be megabytes long.
  const start = Math.max(line.start, span.start - AROUND);
  const text = printable(masked(file.text.slice(start, Math.min(line.end, span.end + AROUND))));
  const from = Math.min(span.start - start, text.length);
  const to = Math.max(Math.min(span.end - start, text.length), from);
  let first = 0;
  let last = text.length;
  if (text.length > WINDOW) {
    first = Math.max(0, Math.min(from - BEFORE, text.length - WINDOW));
    last = first + WINDOW;
    // Neither edge may cut a pair of code units.
    if (/[\udc00-\udfff]/.test(text[first] ?? '')) first++;
    if (/[\udc00-\udfff]/.test(text[last] ?? '')) last--;
  }
  const head = first > 0 || start > line.start ? '…' : '';
  const tail = last < text.length ? '…' : '';
  return {
    line: number,
    text: head + text.slice(first, last).trimEnd() + tail,
    indent: displayWidth(head + text.slice(first, from)),
    width: Math.max(1, displayWidth(text.slice(from, Math.min(to, last)).trimEnd())),
  };
}

/** A problem at a span of a file. */
export function problemAt(
  file: SourceFile,
  span: Span,
  problem: { code: ErrorCode; message: string; hint?: string | undefined; path?: ConfigPath },
): ConfigProblem {
  return {
    code: problem.code,
    place: file.place(span.start),
    message: problem.message,
    hint: problem.hint,
    path: formatPath(problem.path ?? []),
    excerpt: excerptOf(file, span),
  };
}

/** Problems shown at once, at most; the number of all is said. */
const SHOWN = 50;

/** The text for people: for each problem place, code and message, then the line, a caret and the hint. */
export function renderProblems(
  problems: readonly ConfigProblem[],
  { color = false }: { color?: boolean } = {},
): string {
  const paint = (codes: string, text: string): string => (color ? `\u001b[${codes}m${text}\u001b[0m` : text);
  const blocks = problems.slice(0, SHOWN).map(({ code, place, message, hint, excerpt }) => {
    const lines = [
      `${place === undefined ? '' : `${paint('1', formatPlace(place))}  `}${paint('31;1', code)}  ${message}`,
    ];
    const gutter = String(excerpt?.line ?? '').length + 2;
    if (excerpt !== undefined) {
      const bar = paint('2', '|');
      lines.push(`  ${paint('2', String(excerpt.line))} ${bar} ${excerpt.text}`);
      lines.push(
        `${' '.repeat(gutter)} ${bar} ${' '.repeat(excerpt.indent)}${paint('31;1', '^'.repeat(excerpt.width))}`,
      );
    }
    if (hint !== undefined) lines.push(`  ${paint('36', hint)}`);
    return lines.join('\n');
  });
  const rest = problems.length > SHOWN ? `, of which the first ${SHOWN} are shown` : '';
  blocks.push(paint('1', `${problems.length} problem${problems.length === 1 ? '' : 's'}${rest}`));
  return blocks.join('\n\n');
}
