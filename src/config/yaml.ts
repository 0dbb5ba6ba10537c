/** YAML text → plain values and, for each of them, where it stands. */
import { type Document, isAlias, isMap, isScalar, isSeq, type ParsedNode, parseAllDocuments, type Scalar } from 'yaml';
import type { ErrorCode } from '../errors.ts';
import { type ConfigProblem, problemAt } from './problems.ts';
import type { SourceFile } from './source.ts';
import { type ConfigPath, type SourceNode, type Span, spanOf, type Token } from './source.ts';
import { type SyntaxFindings, syntaxProblems } from './syntax.ts';
import { isUnbalanced, looksLikeExpression, quoteHint, valueExtent } from './unquoted.ts';

/** Bounds on what a file can expand to. */
const MAX_VALUES = 200_000;
const MAX_ALIASED = 20_000;
const MAX_DEPTH = 64;

export interface YamlDocument {
  /** Undefined when nothing could be read. */
  readonly value: unknown;
  readonly root: SourceNode;
  readonly problems: readonly ConfigProblem[];
  /** Lines on which YAML took something apart: what else is wrong there follows from it. */
  readonly damaged: ReadonlySet<number>;
  /** From here on the structure is not to be trusted. */
  readonly brokenAt: number;
  /** Whether values are named, to be used elsewhere. */
  readonly anchors: boolean;
}

type YamlNode = ParsedNode | null;

/** Reads one document. All that is wrong with it is in `problems`; it never throws. */
export function readYaml(file: SourceFile): YamlDocument {
  const empty: SourceNode = { file, key: undefined, span: { start: 0, end: 0 }, token: undefined, children: new Map() };
  let documents: readonly Document.Parsed[];
  try {
    const parsed = parseAllDocuments(file.text, {
      uniqueKeys: false, // Reported here, with both places.
      prettyErrors: false,
      resolveKnownTags: false,
      logLevel: 'silent',
      version: '1.2',
    });
    documents = 'empty' in parsed ? [] : parsed;
  } catch (error) {
    // The parser recurses: nesting beyond the stack is the one thing that it throws for.
    const message = error instanceof RangeError ? 'it is nested too deep' : 'it cannot be read as YAML';
    const problem = problemAt(file, { start: 0, end: 1 }, { code: 'CONFIG_SYNTAX', message });
    return { value: undefined, root: empty, problems: [problem], damaged: new Set(), brokenAt: 0, anchors: false };
  }
  const [document, second] = documents;
  if (document === undefined)
    return { value: undefined, root: empty, problems: [], damaged: new Set(), brokenAt: Infinity, anchors: false };
  const findings = syntaxProblems(file, document);
  const reader = new Reader(file, findings);
  if (second !== undefined) {
    const start = file.text.lastIndexOf('\n---', second.range[0]) + 1;
    reader.report(
      'CONFIG_SYNTAX',
      { start, end: start + 3 },
      'a second document begins here',
      'a file holds one document',
    );
  }
  let { value, node } = { value: undefined as unknown, node: empty };
  try {
    ({ value, node } = reader.read(document.contents, undefined, [], 0));
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error;
  }
  const { problems, damaged, anchors } = reader;
  return { value, root: node, problems, damaged, brokenAt: findings.brokenAt, anchors };
}

/** Ends the reading: the file expands to more than the bounds. */
class TooLarge extends Error {}

class Reader {
  readonly problems: ConfigProblem[];
  readonly damaged: Set<number>;
  readonly #file: SourceFile;
  readonly #anchors = new Map<string, ParsedNode>();
  readonly #open = new Set<ParsedNode>();
  #values = 0;
  #aliased = 0;
  #inAlias: Span | undefined;

  constructor(file: SourceFile, findings: SyntaxFindings) {
    this.#file = file;
    this.problems = [...findings.problems];
    this.damaged = new Set(findings.damaged);
  }

  get anchors(): boolean {
    return this.#anchors.size > 0;
  }

  report(code: ErrorCode, span: Span, message: string, hint?: string, path?: ConfigPath): void {
    this.problems.push(problemAt(this.#file, span, { code, message, hint, path: path ?? [] }));
  }

  #unquoted(span: Span, text: string, path: ConfigPath): void {
    const line = this.#file.lineAt(span.start);
    if (this.damaged.has(line)) return;
    this.damaged.add(line);
    this.report('CONFIG_UNQUOTED_EXPRESSION', span, 'YAML took this expression apart', quoteHint(text), path);
  }

  read(node: YamlNode, key: Token | undefined, path: ConfigPath, depth: number): { value: unknown; node: SourceNode } {
    const behindKey = key === undefined ? { start: 0, end: 0 } : { start: key.end, end: key.end };
    const [start, end] = node?.range ?? [behindKey.start, behindKey.end];
    const span: Span = { start, end };
    this.#count(node, span, depth);
    if (node === null) return { value: null, node: this.#node(key, behindKey, undefined) };
    if (isAlias(node)) return this.#alias(node.source, span, key, path, depth);
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    this.#checkTag(node, span, path);
    this.#open.add(node);
    try {
      if (isScalar(node)) return this.#scalar(node, key, span);
      if (isSeq(node)) {
        const children = new Map<string, SourceNode>();
        const value: unknown[] = [];
        node.items.forEach((item, index) => {
          const read = this.read(item, undefined, [...path, index], depth + 1);
          children.set(String(index), read.node);
          value.push(read.value);
          if (node.flow && typeof read.value === 'string') this.#checkPlain(item, node, [...path, index]);
        });
        return { value, node: { ...this.#node(key, span, undefined), children } };
      }
      return this.#mapping(node, key, span, path, depth);
    } finally {
      this.#open.delete(node);
    }
  }

  #node(key: Token | undefined, span: Span, token: Token | undefined): SourceNode {
    return { file: this.#file, key, span, token, children: new Map() };
  }

  #count(node: YamlNode, span: Span, depth: number): void {
    if (this.#inAlias !== undefined && ++this.#aliased > MAX_ALIASED) {
      this.report('CONFIG_ALIASES', this.#inAlias, `aliases expand to more than ${MAX_ALIASED} values`);
      throw new TooLarge();
    }
    if (++this.#values > MAX_VALUES) {
      this.report('CONFIG_SYNTAX', span, `the file holds more than ${MAX_VALUES} values`);
      throw new TooLarge();
    }
    if (depth > MAX_DEPTH && node !== null) {
      this.report(
        'CONFIG_SYNTAX',
        { start: span.start, end: span.start + 1 },
        `it is nested deeper than ${MAX_DEPTH} levels`,
      );
      throw new TooLarge();
    }
  }

  #alias(
    name: string,
    span: Span,
    key: Token | undefined,
    path: ConfigPath,
    depth: number,
  ): { value: unknown; node: SourceNode } {
    const target = this.#anchors.get(name);
    if (target === undefined || this.#open.has(target)) {
      const message =
        target === undefined
          ? `there is no anchor "&${name}" before this`
          : 'an alias cannot stand inside of its anchor';
      const hint = looksLikeExpression(this.#lineFrom(span.start)) ? quoteHint(this.#lineFrom(span.start)) : undefined;
      this.report('CONFIG_SYNTAX', span, message, hint, path);
      this.damaged.add(this.#file.lineAt(span.start));
      return { value: null, node: this.#node(key, span, undefined) };
    }
    const outer = this.#inAlias;
    this.#inAlias ??= span;
    try {
      return this.read(target, key, path, depth + 1);
    } finally {
      this.#inAlias = outer;
    }
  }

  #scalar(node: Scalar.Parsed, key: Token | undefined, span: Span): { value: unknown; node: SourceNode } {
    const style = node.type ?? 'PLAIN';
    const text = typeof node.value === 'string' ? node.value : node.source;
    // An empty plain scalar is a value that is not there.
    const token: Token | undefined = span.start === span.end ? undefined : { ...span, style, value: text };
    const value = typeof node.value === 'bigint' ? Number(node.value) : node.value;
    return {
      value,
      node: this.#node(key, token === undefined && key ? { start: key.end, end: key.end } : span, token),
    };
  }

  #mapping(
    node: Extract<ParsedNode, { items: unknown }>,
    key: Token | undefined,
    span: Span,
    path: ConfigPath,
    depth: number,
  ): { value: unknown; node: SourceNode } {
    const value: Record<string, unknown> = {};
    const children = new Map<string, SourceNode>();
    const merged: { value: unknown; node: SourceNode }[] = [];
    if (!isMap(node)) return { value, node: this.#node(key, span, undefined) };
    let previous: YamlNode = null;
    for (const pair of node.items) {
      const name = this.#key(pair.key, path);
      // `{ when: f(a, b) }` is `when` and a key without value.
      if (node.flow === true && pair.value === null && this.#checkPlain(previous, node, path)) continue;
      previous = pair.value;
      if (name === undefined) continue;
      if (name.value === '<<' && name.style === 'PLAIN') {
        merged.push(this.read(pair.value, name, path, depth + 1));
        continue;
      }
      const first = children.get(name.value)?.key;
      if (first !== undefined) {
        const { line } = this.#file.place(first.start);
        const where = `${this.#file.name}:${line}:${this.#file.place(first.start).column}`;
        this.report(
          'CONFIG_DUPLICATE_KEY',
          name,
          `the key "${name.value}" stands here already at ${where}`,
          undefined,
          [...path, name.value],
        );
        continue;
      }
      const at = [...path, name.value];
      const read = this.read(pair.value, name, at, depth + 1);
      children.set(name.value, read.node);
      put(value, name.value, read.value);
      if (node.flow && typeof read.value === 'string') this.#checkPlain(pair.value, node, at);
    }
    for (const each of merged) this.#merge(each, value, children);
    return { value, node: { ...this.#node(key, span, undefined), children } };
  }

  /** `<<: *base`, or a list of them: what is not there already. */
  #merge(
    from: { value: unknown; node: SourceNode },
    value: Record<string, unknown>,
    children: Map<string, SourceNode>,
  ): void {
    const sources = Array.isArray(from.value)
      ? from.value.map((each: unknown, index) => ({ value: each, node: from.node.children.get(String(index)) }))
      : [from];
    for (const source of sources) {
      if (typeof source.value !== 'object' || source.value === null || Array.isArray(source.value) || !source.node) {
        this.report('CONFIG_SYNTAX', spanOf(from.node), '"<<" takes a mapping or a list of mappings');
        continue;
      }
      for (const [name, each] of Object.entries(source.value)) {
        const child = source.node.children.get(name);
        if (children.has(name) || child === undefined) continue;
        children.set(name, child);
        put(value, name, each);
      }
    }
  }

  #key(node: ParsedNode | null, path: ConfigPath): Token | undefined {
    if (isScalar(node) && node.value !== null) {
      const [start, end] = node.range;
      const value = typeof node.value === 'string' ? node.value : node.source;
      const style = node.type ?? 'PLAIN';
      if (value !== '__proto__') return { start, end, style, value };
      this.report('CONFIG_INVALID_VALUE', { start, end }, '"__proto__" cannot be a key', undefined, path);
      return undefined;
    }
    const [start, end] = node?.range ?? [0, 0];
    const before = this.#file.text.slice(0, start).trimEnd();
    if (isMap(node) && before.endsWith('{')) {
      // `subject: {{ event.data.id }}` is a mapping whose key is a mapping.
      const from = before.length - 1;
      this.#unquoted(
        { start: from, end: valueExtent(this.#file.text, from, this.#lineEnd(from), false).end },
        this.#lineFrom(from),
        path,
      );
    } else
      this.report('CONFIG_SYNTAX', { start, end: Math.max(end, start + 1) }, 'a key must be text', undefined, path);
    return undefined;
  }

  /** Whether a plain value in `{ }` or `[ ]` was cut at a comma; if so that is reported. */
  #checkPlain(node: YamlNode, parent: { range?: readonly [number, number, number] | null }, path: ConfigPath): boolean {
    if (!isScalar(node) || node.type !== 'PLAIN' || typeof node.value !== 'string') return false;
    const [start, end] = node.range;
    if (
      !isUnbalanced(node.value) ||
      (this.#file.text[end] !== ',' && !/^\s*,/.test(this.#file.text.slice(end, end + 20)))
    )
      return false;
    const limit = Math.min(this.#lineEnd(start), parent.range?.[1] ?? Infinity);
    const extent = valueExtent(this.#file.text, start, limit, true);
    this.#unquoted(extent, this.#file.text.slice(extent.start, extent.end), path);
    return true;
  }

  /** `!x` is a tag to YAML. There are no tags here but YAML's own. */
  #checkTag(node: ParsedNode, span: Span, path: ConfigPath): void {
    const { tag } = node;
    if (tag === undefined || tag.startsWith('tag:yaml.org,2002:')) return;
    const start = this.#file.text.lastIndexOf('!', span.start);
    const from =
      start >= 0 && this.#file.text.slice(start, span.start).trim().startsWith(tag.slice(0, 2)) ? start : span.start;
    const inFlow = /[{[]/.test(this.#file.text.slice(this.#file.line(this.#file.lineAt(from)).start, from));
    const extent = valueExtent(this.#file.text, from, this.#lineEnd(from), inFlow);
    this.#unquoted(extent, this.#file.text.slice(extent.start, extent.end), path);
  }

  #lineEnd(offset: number): number {
    return this.#file.line(this.#file.lineAt(offset)).end;
  }

  #lineFrom(offset: number): string {
    const { start, end } = valueExtent(this.#file.text, offset, this.#lineEnd(offset), false);
    return this.#file.text.slice(start, end);
  }
}

/** A property of any name, without touching a prototype. */
const put = (target: Record<string, unknown>, name: string, value: unknown): void => {
  Object.defineProperty(target, name, { value, enumerable: true, writable: true, configurable: true });
};
