/** The text of a configuration file, and which part of it a value comes from. */
import type { Place } from '../errors.ts';

/** From an offset up to, not including, another. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Who a text belongs to: the files of this instance, or the fleet, whose resources live in KV. */
export type Layer = 'file' | 'fleet';

export class SourceFile {
  /** As it is shown: relative to the working directory where it lies below it; `fleet:consumers/billing`. */
  readonly name: string;
  readonly text: string;
  readonly layer: Layer;
  readonly #lineStarts: readonly number[];

  constructor(name: string, text: string, layer: Layer = 'file') {
    this.name = name;
    this.text = text;
    this.layer = layer;
    const starts = [0];
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
    this.#lineStarts = starts;
  }

  /** Counts from 1. */
  lineAt(offset: number): number {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  }

  /** The span of a line, without its end. */
  line(number: number): Span {
    const start = this.#lineStarts[number - 1] ?? this.text.length;
    const next = this.#lineStarts[number];
    let end = next === undefined ? this.text.length : next - 1;
    if (end > start && this.text[end - 1] === '\r') end--;
    return { start, end };
  }

  /** Columns count characters, not code units. */
  place(offset: number): Place {
    const line = this.lineAt(offset);
    const { start } = this.line(line);
    // A line as long as this is for machines; it may have thousands of problems.
    const characters = offset - start > 5000 ? offset - start : Array.from(this.text.slice(start, offset)).length;
    return { file: this.name, line, column: characters + 1 };
  }
}

export type ScalarStyle = 'PLAIN' | 'QUOTE_SINGLE' | 'QUOTE_DOUBLE' | 'BLOCK_LITERAL' | 'BLOCK_FOLDED';

/** A scalar as it is written. */
export interface Token extends Span {
  readonly style: ScalarStyle;
  /** What it says, before any substitution. */
  readonly value: string;
}

/** Where the text of a value differs from what the file says, because `${…}` was filled in. */
export interface Insertion {
  /** In the value. */
  readonly start: number;
  readonly end: number;
  /** In what the file says. */
  readonly raw: Span;
  /** How it is written, for messages: `${TOTAL}`. */
  readonly source: string;
  readonly secret: boolean;
}

/** One value of the configuration and where it stands. */
export interface SourceNode {
  readonly file: SourceFile;
  readonly key: Token | undefined;
  /** Empty, behind the key, where there is no value. */
  readonly span: Span;
  /** Undefined for collections. */
  readonly token: Token | undefined;
  readonly children: ReadonlyMap<string, SourceNode>;
  /** Set by the substitution. */
  insertions?: readonly Insertion[];
}

export type ConfigPath = readonly (string | number)[];

/** The node of a path; undefined where the file says nothing. */
export function nodeAt(root: SourceNode, path: ConfigPath): SourceNode | undefined {
  let node: SourceNode | undefined = root;
  for (const segment of path) node = node?.children.get(String(segment));
  return node;
}

/** The node of a path or of the nearest thing above it that the file has. */
export function nearestNode(root: SourceNode, path: ConfigPath): SourceNode {
  let node = root;
  for (const segment of path) {
    const child = node.children.get(String(segment));
    if (child === undefined) return node;
    node = child;
  }
  return node;
}

/** What to point at: a scalar itself; of a collection its key, or its first key. */
export function spanOf(node: SourceNode): Span {
  if (node.token !== undefined) return node.token;
  if (node.key !== undefined) return node.key;
  for (const child of node.children.values()) return child.key ?? spanOf(child);
  return { start: node.span.start, end: Math.min(node.span.end, node.span.start + 1) };
}

/** `offset` in the value of a scalar, as the span of `length` characters in the file. */
export function spanInside(node: SourceNode, offset: number, length: number): Span {
  const { token, insertions = [] } = node;
  if (token === undefined) return spanOf(node);
  const from = rawOffset(insertions, offset, 'start');
  const to = Math.max(rawOffset(insertions, offset + length, 'end'), from);
  return spanInToken(node.file, token, from, to);
}

/** The same for a span of what the file says. */
export function spanInToken(file: SourceFile, token: Token, from: number, to: number): Span {
  const offsets = offsetsOf(file.text, token);
  if (offsets === undefined) return { start: token.start, end: token.end };
  const start = offsets[from] ?? offsets[offsets.length - 1] ?? token.start;
  // The end is where the last character stands, plus one: what follows may be on another line.
  const last = to > from ? (offsets[to - 1] ?? start) : start;
  const end = to > from ? Math.min(offsets[to] ?? token.end, Math.max(last + 1, start + 1)) : start + 1;
  return { start, end: Math.max(end, start + 1) };
}

/** Shifts a position behind the insertions; one inside of them is their start or end. */
function rawOffset(insertions: readonly Insertion[], offset: number, side: 'start' | 'end'): number {
  let shift = 0;
  for (const { start, end, raw } of insertions) {
    if (offset < start || (offset === start && side === 'end')) break;
    if (offset < end || (offset === end && side === 'end')) return side === 'start' ? raw.start : raw.end;
    shift = raw.end - end;
  }
  return offset + shift;
}

const isSpace = (character: string | undefined): boolean =>
  character === ' ' || character === '\n' || character === '\r' || character === '\t';

const ESCAPE_LENGTHS: Readonly<Record<string, number>> = { x: 4, u: 6, U: 10 };

/**
 * Where in the file each character of a scalar stands, and where its end. Characters are matched in order; what YAML
 * leaves out (indentation, folded line ends) is skipped. Undefined where they do not match after all.
 */
function offsetsOf(text: string, token: Token): readonly number[] | undefined {
  const { style, value } = token;
  const quoted = style === 'QUOTE_SINGLE' || style === 'QUOTE_DOUBLE';
  let at = token.start + (quoted ? 1 : 0);
  const stop = token.end - (quoted ? 1 : 0);
  if (style === 'BLOCK_LITERAL' || style === 'BLOCK_FOLDED') at = text.indexOf('\n', at) + 1;
  const offsets: number[] = [];
  for (let index = 0; index < value.length;) {
    const wanted = value[index];
    const found = at < stop ? text[at] : undefined;
    if (style === 'QUOTE_DOUBLE' && found === '\\') {
      const next = text[at + 1] ?? '';
      if (next === '\n' || next === '\r') {
        at += 2;
        while (isSpace(text[at])) at++;
        continue;
      }
      const length = ESCAPE_LENGTHS[next] ?? 2;
      offsets.push(at);
      index++;
      // A character beyond the basic plane is two units of the value.
      if (length === 10 && (value.codePointAt(index - 1) ?? 0) > 0xffff) {
        offsets.push(at);
        index++;
      }
      at += length;
      continue;
    }
    if (style === 'QUOTE_SINGLE' && found === "'") {
      if (wanted !== "'") return undefined;
      offsets.push(at);
      at += 2;
    } else if (found === wanted || (isSpace(found) && isSpace(wanted))) {
      offsets.push(at);
      at++;
    } else if (isSpace(found)) {
      at++;
      continue;
    } else if (found === undefined && isSpace(wanted)) {
      offsets.push(stop);
    } else return undefined;
    index++;
  }
  offsets.push(Math.min(at, stop));
  return offsets;
}
