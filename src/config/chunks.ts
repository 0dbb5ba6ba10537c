/**
 * Reads a file again at the price of what changed in it. A file in block style is taken apart at the keys of its
 * sections and of their entries; what stood there at the last reading is not parsed again. Whatever is unusual (an
 * anchor, a second document, an error) is read as a whole, so that values, places and problems are always those of the
 * whole.
 */
import { SourceFile, type SourceNode, type Span, type Token } from './source.ts';
import { readYaml, type YamlDocument } from './yaml.ts';

/** An entry, or a section that was not taken apart, with its key. Positions count from its first line. */
interface Read {
  readonly value: unknown;
  readonly node: SourceNode;
}

/** What is kept of a file. */
interface Kept {
  readonly text: string;
  readonly document: YamlDocument;
  /** By the key of the section, where it is an entry of one, and the text. */
  readonly chunks: ReadonlyMap<string, Read>;
}

/** What the last readings leave for the next. */
export class YamlCache {
  readonly #files = new Map<string, Kept>();

  /** The same as {@link readYaml}. The values are shared with earlier readings: they must not be changed. */
  read(file: SourceFile): YamlDocument {
    const { name, text } = file;
    const before = this.#files.get(name);
    if (before?.text === text) return { ...before.document, root: moved(before.document.root, file, 0) };
    const chunks = new Map<string, Read>();
    const document =
      readChunks(file, (section, key, chunk) => {
        const id = `${section}\0${chunk}`;
        // A slice of the file's text would keep all of it in memory, for as long as the entry stays as it is.
        const read = before?.chunks.get(id) ?? readChunk(key, id.slice(section.length + 1));
        if (read !== undefined) chunks.set(id, read);
        return read;
      }) ?? readYaml(file);
    // What was right before is still known when a mistake has been mended.
    if (document.problems.length === 0) this.#files.set(name, { text, document, chunks });
    return document;
  }

  /** Forgets all other files. */
  keepOnly(names: ReadonlySet<string>): void {
    for (const name of this.#files.keys()) if (!names.has(name)) this.#files.delete(name);
  }
}

/**
 * What may make a difference beyond the chunk that it stands in: merges, the ends of documents, tabs, lone carriage
 * returns, block scalars that say their indentation.
 */
const UNUSUAL = /^ *["']?<<|^---|^\.\.\.|^%|^ *\t|\r(?!\n)|(?:^|\s)[|>][+-]?[1-9][+-]?[ \t\r]*(?:#.*)?$/m;

/** Far below the bounds of a file, which are looked at where it is read as a whole. */
const MAX_VALUES = 100_000;
const MAX_DEPTH = 32;

/** What was counted of a file. */
interface Size {
  values: number;
  depth: number;
}

/** Finds a chunk, or reads it; undefined where it cannot stand alone. */
type Find = (section: string, key: string, text: string) => Read | undefined;

/** Reads a file by its chunks; undefined where it has to be read as a whole. */
function readChunks(file: SourceFile, find: Find): YamlDocument | undefined {
  if (UNUSUAL.test(file.text)) return undefined;
  const size: Size = { values: 0, depth: 0 };
  const whole = { start: 0, end: file.text.length };
  const placed = (section: string, { key, span }: Chunk): Read | undefined => {
    const read = find(section, key.value, file.text.slice(span.start, span.end));
    if (read === undefined) return undefined;
    return { value: read.value, node: moved(read.node, file, span.start, size, section === '' ? 1 : 2) };
  };
  const readSection = (section: Chunk): Read | undefined => {
    const entries = entriesOf(file, section);
    if (entries === undefined) return placed('', section);
    const read = collect(entries, (entry) => placed(section.key.value, entry));
    return read && { value: read.value, node: mappingAt(file, section.key, entries, read.children) };
  };
  const sections = chunksOf(file.text, whole, 0);
  const read = sections && collect(sections, readSection);
  if (sections === undefined || read === undefined) return undefined;
  if (size.values > MAX_VALUES || size.depth > MAX_DEPTH) return undefined;
  const root = mappingAt(file, undefined, sections, read.children);
  return { value: read.value, root, problems: [], damaged: new Set(), brokenAt: Infinity, anchors: false };
}

/** The chunks as one mapping; undefined where one cannot be read, or a key stands there twice. */
function collect(
  chunks: readonly Chunk[],
  read: (chunk: Chunk) => Read | undefined,
): { value: Record<string, unknown>; children: Map<string, SourceNode> } | undefined {
  const value: Record<string, unknown> = {};
  const children = new Map<string, SourceNode>();
  for (const chunk of chunks) {
    const name = chunk.key.value;
    const each = children.has(name) ? undefined : read(chunk);
    if (each === undefined) return undefined;
    value[name] = each.value;
    children.set(name, each.node);
  }
  return { value, children };
}

const mappingAt = (
  file: SourceFile,
  key: Token | undefined,
  chunks: readonly Chunk[],
  children: ReadonlyMap<string, SourceNode>,
): SourceNode => {
  const span = { start: chunks[0]?.key.start ?? 0, end: chunks.at(-1)?.span.end ?? 0 };
  return { file, key, span, token: undefined, children };
};

interface Chunk {
  readonly key: Token;
  /** Whole lines. */
  readonly span: Span;
}

/** The chunks below a section; undefined where there is more than entries with plain keys in it. */
function entriesOf({ text }: SourceFile, { key, span }: Chunk): readonly Chunk[] | undefined {
  const head = text.indexOf('\n', key.end);
  if (head < 0 || head >= span.end || !/^:(?: +#.*| *)\r?$/.test(text.slice(key.end, head))) return undefined;
  let at = head + 1;
  while (at < span.end && /[\r\n#]/.test(text[indentAt(text, at)] ?? '\n')) at = nextLine(text, at);
  const indent = indentAt(text, at) - at;
  return indent === 0 || at >= span.end ? undefined : chunksOf(text, { start: head + 1, end: span.end }, indent);
}

const nextLine = (text: string, at: number): number => {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end + 1;
};

/** Where a line begins behind its spaces. */
const indentAt = (text: string, line: number): number => {
  let at = line;
  while (text[at] === ' ') at++;
  return at;
};

/** A key that can be nothing else. */
const KEY = /[A-Za-z0-9][\w.-]*(?=:(?:[ \r\n]|$))/y;

/**
 * Lines with a key at the indentation given begin a chunk; all others belong to it, and must be indented further.
 * Undefined where that is not so.
 */
function chunksOf(text: string, { start, end }: Span, indent: number): readonly Chunk[] | undefined {
  const chunks: Chunk[] = [];
  let current: { key: Token; from: number } | undefined;
  // A comment that stands further out ends what is above: only comments may follow.
  let ended = false;
  for (let line = start; line < end; line = nextLine(text, line)) {
    const at = indentAt(text, line);
    const first = text[at];
    if (at >= end || first === '\n' || first === '\r') continue;
    if (first === '#') {
      ended ||= at - line <= indent;
      continue;
    }
    KEY.lastIndex = at;
    const name = at - line === indent ? KEY.exec(text)?.[0] : undefined;
    if (name !== undefined) {
      if (/^null$/i.test(name)) return undefined;
      if (current !== undefined) chunks.push({ key: current.key, span: { start: current.from, end: line } });
      current = { key: { start: at, end: at + name.length, style: 'PLAIN', value: name }, from: line };
      ended = false;
    } else if (current === undefined || ended) return undefined;
    else if (at - line <= indent && !(at - line === indent && text.startsWith('- ', at))) return undefined;
  }
  if (current === undefined) return undefined;
  chunks.push({ key: current.key, span: { start: current.from, end } });
  return chunks;
}

/** Reads a chunk; undefined where there is something about it that the rest of the file may matter for. */
function readChunk(name: string, text: string): Read | undefined {
  const { value, root, problems, anchors } = readYaml(new SourceFile('', text));
  const node = root.children.get(name);
  if (problems.length > 0 || anchors || root.children.size !== 1 || node === undefined) return undefined;
  return { value: (value as Record<string, unknown>)[name], node };
}

/** A node and all below it, as they stand `by` characters further on. */
function moved(
  { key, span, token, children }: SourceNode,
  file: SourceFile,
  by: number,
  size?: Size,
  depth = 0,
): SourceNode {
  if (size !== undefined) {
    size.values++;
    size.depth = Math.max(size.depth, depth);
  }
  const below = new Map<string, SourceNode>();
  for (const [name, child] of children) below.set(name, moved(child, file, by, size, depth + 1));
  return {
    file,
    key: key && shifted(key, by),
    span: shifted(span, by),
    token: token && shifted(token, by),
    children: below,
  };
}

const shifted = <T extends Span>(span: T, by: number): T => ({ ...span, start: span.start + by, end: span.end + by });
