/**
 * `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `${file:/run/secrets/x}` and `$${` in the values of a configuration
 * that is already parsed: what is put in is text of one value and can never become structure.
 */
import { dirname, resolve } from 'node:path';
import type { ConfigProblem } from './problems.ts';
import { problemAt } from './problems.ts';
import { isSecretName, type Secrets } from './secrets.ts';
import { copyOf } from './copy.ts';
import { type ConfigPath, type Insertion, nearestNode, type SourceNode, spanInToken, spanOf } from './source.ts';

/** The content of a file; throws like `readFileSync`. */
export type ReadFile = (path: string) => Uint8Array;

export interface SubstitutionContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: ReadFile;
  /** Absolute path of the file that holds the configuration; relative paths start at its folder. */
  readonly fileName: string;
  readonly secrets: Secrets;
  /** Whether a variable may stand here whose name sounds secret and whose value is none: the path of a file. */
  readonly isPath: (path: ConfigPath) => boolean;
}

export interface Substituted {
  readonly value: unknown;
  /** The same with marks in place of secrets. */
  readonly source: unknown;
  readonly problems: readonly ConfigProblem[];
  /** Files that were read. */
  readonly files: readonly string[];
}

const MAX_FILE = 1024 * 1024;
const MAX_TEXT = 1024 * 1024;
const MAX_NESTING = 8;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*/;

/**
 * Fills in every `${…}` of a value and notes on the nodes where. Collects what cannot be filled in. Parts in which
 * nothing is to be filled in are the same objects in the result.
 */
export function substitute(value: unknown, root: SourceNode, context: SubstitutionContext): Substituted {
  const problems: ConfigProblem[] = [];
  const files = new Set<string>();
  let total = 0;

  const fill = (text: string, path: ConfigPath): Changed => {
    const filler = new Filler(text, context, path, files);
    const filled = filler.fill();
    const node = nearestNode(root, path);
    if (filled.insertions.length > 0) node.insertions = filled.insertions;
    for (const { message, hint, start, end } of filler.problems) {
      const span = node.token === undefined ? spanOf(node) : spanInToken(node.file, node.token, start, end);
      problems.push(problemAt(node.file, span, { code: 'CONFIG_SUBSTITUTION', message, hint, path }));
    }
    total += filled.value.length;
    if (total > MAX_TEXT * 4) return { value: '', source: '' };
    return { value: filled.value, source: filled.source };
  };
  // Undefined where nothing is to be filled in.
  const walk = (each: unknown, path: (string | number)[]): Changed | undefined => {
    if (typeof each === 'string') return each.includes('${') ? fill(each, path) : undefined;
    if (typeof each !== 'object' || each === null) return undefined;
    const list = Array.isArray(each);
    let changed: { value: Record<string, unknown>; source: Record<string, unknown> } | undefined;
    for (const [key, item] of Object.entries(each)) {
      path.push(list ? Number(key) : key);
      const filled = walk(item, path);
      path.pop();
      if (filled === undefined) continue;
      changed ??= { value: copyOf(each), source: copyOf(each) };
      changed.value[key] = filled.value;
      changed.source[key] = filled.source;
    }
    return changed;
  };
  return { ...(walk(value, []) ?? { value, source: value }), problems, files: [...files] };
}

/** What a value became. */
interface Changed {
  readonly value: unknown;
  readonly source: unknown;
}

interface Filled {
  readonly value: string;
  readonly source: string;
  readonly insertions: readonly Insertion[];
}

interface Failure {
  readonly message: string;
  readonly hint: string | undefined;
  readonly start: number;
  readonly end: number;
}

/** Fills in one text. */
class Filler {
  readonly problems: Failure[] = [];
  readonly #text: string;
  readonly #context: SubstitutionContext;
  readonly #path: ConfigPath;
  readonly #files: Set<string>;

  constructor(text: string, context: SubstitutionContext, path: ConfigPath, files: Set<string>) {
    this.#text = text;
    this.#context = context;
    this.#path = path;
    this.#files = files;
  }

  fill(): Filled {
    return this.#fill(0, this.#text.length, 0);
  }

  #fail(start: number, end: number, message: string, hint?: string): void {
    this.problems.push({ start, end, message, hint });
  }

  /** `from` to `to` of the text, with what stands in it filled in. */
  #fill(from: number, to: number, depth: number): Filled {
    const text = this.#text;
    let value = '';
    let source = '';
    const insertions: Insertion[] = [];
    let at = from;
    for (;;) {
      const open = text.indexOf('${', at);
      if (open < 0 || open >= to) break;
      value += text.slice(at, open);
      source += text.slice(at, open);
      if (open > from && text[open - 1] === '$') {
        // `$${`: the first `$` is taken away, so that `${` is left.
        value = `${value.slice(0, -1)}\${`;
        source = `${source.slice(0, -1)}\${`;
        at = open + 2;
        insertions.push(escaped(value.length - 2, open - 1));
        continue;
      }
      const close = this.#closing(open + 2, to);
      if (close < 0 || depth >= MAX_NESTING) {
        const message = close < 0 ? 'this "${" is not closed' : '"${" is nested too deep';
        this.#fail(open, to, message, 'close it with "}"; a literal "${" is written $${');
        return { value, source, insertions };
      }
      const inserted = this.#evaluate(open, close, depth);
      const start = value.length;
      value += inserted.value;
      source += inserted.source;
      insertions.push({
        start,
        end: value.length,
        raw: { start: open, end: close + 1 },
        source: text.slice(open, close + 1),
        secret: inserted.secret,
      });
      at = close + 1;
      if (value.length > MAX_TEXT) {
        this.#fail(open, close + 1, `the text becomes longer than ${MAX_TEXT} characters`);
        return { value: '', source: '', insertions: [] };
      }
    }
    value += text.slice(at, to);
    source += text.slice(at, to);
    return { value, source, insertions };
  }

  /** The `}` that closes what opened before `from`; -1 when there is none. */
  #closing(from: number, to: number): number {
    let depth = 0;
    for (let at = from; at < to; at++) {
      if (this.#text.startsWith('${', at)) depth++;
      else if (this.#text[at] === '}' && depth-- === 0) return at;
    }
    return -1;
  }

  #evaluate(open: number, close: number, depth: number): { value: string; source: string; secret: boolean } {
    const inner = this.#text.slice(open + 2, close);
    const nothing = { value: '', source: '', secret: false };
    if (inner.startsWith('file:')) return this.#file(open, close, depth);
    const name = VARIABLE.exec(inner)?.[0];
    const rest = name === undefined ? '' : inner.slice(name.length);
    const kind = rest.slice(0, 2);
    if (name === undefined || (rest !== '' && kind !== ':-' && kind !== ':?')) {
      this.#fail(
        open,
        close + 1,
        'this cannot be filled in',
        'write ${VAR}, ${VAR:-default}, ${VAR:?message} or ${file:/path}; a literal "${" is $${',
      );
      return nothing;
    }
    const found = Object.hasOwn(this.#context.env, name) ? this.#context.env[name] : undefined;
    const secret = isSecretName(name) && !this.#context.isPath(this.#path);
    if (found !== undefined && (found !== '' || rest === '')) return this.#secretOr(found, secret);
    if (kind === ':-') {
      const filled = this.#fill(open + 2 + name.length + 2, close, depth + 1);
      const hidden = secret || filled.insertions.some((each) => each.secret);
      return hidden
        ? this.#secretOr(filled.value, true)
        : { value: filled.value, source: filled.source, secret: false };
    }
    const state = found === undefined ? 'not set' : 'empty';
    if (kind === ':?') {
      const message = this.#fill(open + 2 + name.length + 2, close, depth + 1).value.trim();
      this.#fail(open, close + 1, `the variable ${name} is ${state}${message === '' ? '' : `: ${message}`}`);
    } else this.#fail(open, close + 1, `the variable ${name} is ${state}`, `set it, or write \${${name}:-default}`);
    return nothing;
  }

  #secretOr(value: string, secret: boolean): { value: string; source: string; secret: boolean } {
    return { value, source: secret && value !== '' ? this.#context.secrets.add(value) : value, secret };
  }

  #file(open: number, close: number, depth: number): { value: string; source: string; secret: boolean } {
    const { value: named } = this.#fill(open + 2 + 'file:'.length, close, depth + 1);
    const nothing = { value: '', source: '', secret: true };
    const fail = (reason: string): typeof nothing => {
      this.#fail(open, close + 1, `the file ${named === '' ? '' : `${named} `}cannot be read: ${reason}`);
      return nothing;
    };
    if (named.trim() === '') return fail('it has no name');
    const path = resolve(dirname(this.#context.fileName), named.trim());
    this.#files.add(path);
    let content: Uint8Array;
    try {
      content = this.#context.readFile(path);
    } catch (error) {
      return fail(reasonOf(error));
    }
    if (content.length > MAX_FILE) return fail(`it is larger than ${MAX_FILE} bytes`);
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(content).replace(/\r?\n$/, '');
      return this.#secretOr(text, true);
    } catch {
      return fail('it is not UTF-8');
    }
  }
}

/** `$${` says `${`: one character shorter. */
const escaped = (start: number, raw: number): Insertion => ({
  start,
  end: start + 2,
  raw: { start: raw, end: raw + 3 },
  source: '$${',
  secret: false,
});

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is not a directory',
  ELOOP: 'its symbolic links go in a circle',
  EMFILE: 'too many files are open',
  ENAMETOOLONG: 'its name is too long',
};

/** Why the system could not read a file, in words. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return REASONS[code] ?? (code === '' ? error.message : `${code}`);
}
