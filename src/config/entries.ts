/**
 * A file of resources, taken apart: each entry of the sections that the fleet can have becomes a text of its own, as it
 * was written, and it is known where in the file each line of it stands.
 */
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { formatPlace, type Place } from '../errors.ts';
import { RESOURCE_SECTIONS, type ResourceSection } from '../fleet/ports.ts';
import { eventType, name as entryName } from './fields.ts';
import { fleetName } from './fleet.ts';
import { ConfigError, type ConfigProblem, displayWidth, problemAt } from './problems.ts';
import { configSchema } from './schema.ts';
import { SourceFile, type SourceNode, type Span, spanOf } from './source.ts';
import { suggestion } from './suggest.ts';
import { readYaml } from './yaml.ts';

/** Where a line of an entry's text stands: its line in the file, and how many characters of that were taken away. */
interface LineOrigin {
  readonly line: number;
  readonly cut: number;
}

/** One entry of a file. */
export interface FileEntry {
  readonly section: ResourceSection;
  readonly name: string;
  /** YAML of the entry itself, with its comments. */
  readonly text: string;
  readonly file: SourceFile;
  /** What to point at where a place in the text is none of the file. */
  readonly key: Span;
  /** One a line of the text; empty where the text had to be written anew. */
  readonly lines: readonly LineOrigin[];
}

/** A text that is one entry from its first line on, as `ouzel consumers add` takes it. */
export const wholeEntry = (file: SourceFile, section: ResourceSection, name: string): FileEntry => ({
  section,
  name,
  text: file.text,
  file,
  key: { start: 0, end: Math.min(1, file.text.length) },
  lines: file.text.split('\n').map((_line, index) => ({ line: index + 1, cut: 0 })),
});

/**
 * The entries of files, in order.
 *
 * @throws ConfigError for YAML that cannot be read, sections that are no resources, and names that stand twice
 */
export function entriesOf(files: readonly SourceFile[]): FileEntry[] {
  const problems: ConfigProblem[] = [];
  const entries = new Map<string, FileEntry>();
  for (const file of files) {
    const yaml = readYaml(file);
    problems.push(...yaml.problems);
    if (yaml.problems.length > 0) continue;
    if (!isMapping(yaml.value) || yaml.root.children.size === 0) {
      problems.push(nothingIn(file, yaml.value));
      continue;
    }
    for (const [section, node] of yaml.root.children) {
      const value = yaml.value[section];
      const found = sectionProblem(file, section, node, value);
      if (found !== undefined) problems.push(found);
      if (found !== undefined || section === 'version' || !isMapping(value)) continue;
      for (const [name, child] of node.children) {
        const known = section as ResourceSection;
        const entry = entryOf({ section: known, name, file, parent: node, node: child, value: value[name] });
        const wrong = nameProblem(entry, entries.get(`${section}/${name}`));
        if (wrong !== undefined) problems.push(wrong);
        else entries.set(`${section}/${name}`, entry);
      }
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return [...entries.values()];
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function nothingIn(file: SourceFile, value: unknown): ConfigProblem {
  const hint = `write sections with entries: ${RESOURCE_SECTIONS.join(', ')}`;
  const isEmpty = value === null || value === undefined || isMapping(value);
  const message = isEmpty ? 'there is nothing in this file' : 'a configuration is a mapping of sections';
  return problemAt(
    file,
    { start: 0, end: 1 },
    { code: isEmpty ? 'CONFIG_EMPTY' : 'CONFIG_INVALID_VALUE', message, hint },
  );
}

function sectionProblem(
  file: SourceFile,
  section: string,
  node: SourceNode,
  value: unknown,
): ConfigProblem | undefined {
  const span = node.key ?? spanOf(node);
  const sections: readonly string[] = RESOURCE_SECTIONS;
  if (section === 'version') {
    if (value === 1) return undefined;
    return problemAt(file, spanOf(node), { code: 'CONFIG_VERSION', message: 'this Ouzel reads version 1' });
  }
  if (!sections.includes(section)) {
    const known = Object.keys(configSchema.shape);
    if (known.includes(section))
      return problemAt(file, span, {
        code: 'CONFIG_INVALID_VALUE',
        message: `"${section}" stays in each instance's file: the fleet cannot have it`,
        hint: `the fleet has ${RESOURCE_SECTIONS.join(', ')}`,
        path: [section],
      });
    const message = `there is no section "${section}"`;
    return problemAt(file, span, {
      code: 'CONFIG_UNKNOWN_KEY',
      message,
      hint: suggestion(section, sections),
      path: [section],
    });
  }
  if (isMapping(value) || value === null) return undefined;
  const message = `"${section}" is a mapping of names to entries`;
  return problemAt(file, spanOf(node), { code: 'CONFIG_INVALID_VALUE', message, path: [section] });
}

const NAME = entryName();
const TYPE = eventType();

function nameProblem({ file, key, section, name }: FileEntry, other: FileEntry | undefined): ConfigProblem | undefined {
  const path = [section, name];
  if (other !== undefined)
    return problemAt(file, key, {
      code: 'CONFIG_DUPLICATE_NAME',
      message: `"${name}" stands in two files`,
      hint: `the other is ${formatPlace(other.file.place(other.key.start))}`,
      path,
    });
  const isType = section === 'types';
  if ((isType ? TYPE : NAME).safeParse(name).success) return undefined;
  return problemAt(file, key, {
    code: 'CONFIG_INVALID_VALUE',
    message: isType ? `"${name}" cannot be the type of an entry` : `"${name}" cannot be a name`,
    hint: isType
      ? 'an exact type, without wildcards: letters, digits, - and _, in parts separated by dots, at most 200 long'
      : 'a name has letters, digits, - and _, starts with a letter or digit, and is at most 63 long',
    path,
  });
}

interface Found {
  readonly section: ResourceSection;
  readonly name: string;
  readonly file: SourceFile;
  readonly parent: SourceNode;
  readonly node: SourceNode;
  readonly value: unknown;
}

/**
 * The text of an entry is a part of the file where that says the same by itself. An alias of something outside does
 * not: such an entry is written anew.
 */
function entryOf({ section, name, file, parent, node, value }: Found): FileEntry {
  const key = node.key ?? spanOf(node);
  const isFlow = file.text[parent.span.start] === '{';
  const taken = isFlow ? flowLines(file, key, node.span) : blockLines(file, key, node.span);
  const text = taken.map((each) => `${each.text}\n`).join('');
  const again = readYaml(new SourceFile('', text));
  const entry = { section, name, file, key };
  if (again.problems.length === 0 && isDeepStrictEqual(again.value ?? null, value))
    return { ...entry, text, lines: taken.map(({ line, cut }) => ({ line, cut })) };
  return { ...entry, text: stringify(value, { lineWidth: 0 }), lines: [] };
}

interface TakenLine extends LineOrigin {
  readonly text: string;
}

const lineText = (file: SourceFile, line: number): string => {
  const { start, end } = file.line(line);
  return file.text.slice(start, end);
};

const indentOf = (text: string): number => text.length - text.trimStart().length;
const isComment = (text: string): boolean => text.trimStart().startsWith('#');
const characters = (text: string): number => Array.from(text).length;

/** A line without what it is indented by, at most `depth`. */
function dedented(file: SourceFile, line: number, depth: number): TakenLine {
  const text = lineText(file, line);
  const cut = Math.min(depth, indentOf(text));
  return { text: text.slice(cut), line, cut };
}

/** The last line of a span that is not white. */
const lastLine = (file: SourceFile, { start, end }: Span): number =>
  file.lineAt(Math.max(start, file.text.slice(0, end).trimEnd().length - 1));

/** `name: value` in lines of its own: with the comments right above it, beside it, and indented below it. */
function blockLines(file: SourceFile, key: Span, span: Span): TakenLine[] {
  const keyLine = file.lineAt(key.start);
  const { start, end } = file.line(keyLine);
  const depth = key.start - start;
  const lines: TakenLine[] = [];
  for (let line = keyLine - 1; line > 0; line--) {
    const text = lineText(file, line);
    if (!isComment(text) || indentOf(text) !== depth) break;
    lines.unshift(dedented(file, line, depth));
  }
  const colon = file.text.indexOf(':', key.end);
  const rest = file.text.slice(colon + 1, end);
  if (rest.trim() !== '') {
    const from = colon + 1 + indentOf(rest);
    lines.push({
      text: file.text.slice(from, end),
      line: keyLine,
      cut: characters(file.text.slice(start, from)),
    });
  }
  const valueLine = file.lineAt(span.start);
  const inner = valueLine > keyLine ? indentOf(lineText(file, valueLine)) : depth;
  const last = withTail(file, lastLine(file, { start: key.start, end: Math.max(span.end, key.end) }), depth);
  for (let line = keyLine + 1; line <= last; line++) lines.push(dedented(file, line, inner));
  return lines;
}

/** The last line of the comments that follow a line, and are indented below the key. */
function withTail(file: SourceFile, after: number, depth: number): number {
  let last = after;
  for (let line = after + 1; file.line(line).start < file.text.length; line++) {
    const text = lineText(file, line);
    if (isComment(text) && indentOf(text) > depth) last = line;
    else if (text.trim() !== '') break;
  }
  return last;
}

/** A value inside of `{ }`. */
function flowLines(file: SourceFile, key: Span, span: Span): TakenLine[] {
  const first = file.lineAt(span.start);
  const last = lastLine(file, span);
  const depth = indentOf(lineText(file, file.lineAt(key.start)));
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const line = first + index;
    const { start, end } = file.line(line);
    const from = line === first ? span.start : start + Math.min(depth, indentOf(lineText(file, line)));
    const text = file.text.slice(from, Math.min(end, span.end));
    return { text, line, cut: characters(file.text.slice(start, from)) };
  });
}

/** An offset of the file that a place in an entry's text stands for; undefined where it is none. */
function offsetOf({ lines, file }: FileEntry, { line, column }: Omit<Place, 'file'>): number | undefined {
  const origin = lines[line - 1];
  if (origin === undefined) return undefined;
  const { start, end } = file.line(origin.line);
  const before = Array.from(file.text.slice(start, end)).slice(0, origin.cut + column - 1);
  return start + before.join('').length;
}

/** As many characters as carets stand under. */
function spanAt(file: SourceFile, start: number, width: number): Span {
  const { end: lineEnd } = file.line(file.lineAt(start));
  let end = start;
  while (end < lineEnd && displayWidth(file.text.slice(start, end)) < width) end++;
  return { start, end: Math.max(end, start + 1) };
}

/** Problems that somebody found in the texts of entries, at their places in the files, and in their order. */
export function inFiles(problems: readonly ConfigProblem[], entries: readonly FileEntry[]): ConfigProblem[] {
  const byName = new Map(entries.map((entry) => [fleetName(entry), entry]));
  const toFile = (text: string): string =>
    text.replace(/(fleet:[a-z]+\/[\w-]+):(\d+):(\d+)/g, (whole, name: string, line: string, column: string) => {
      const entry = byName.get(name);
      if (entry === undefined) return whole;
      const offset = offsetOf(entry, { line: Number(line), column: Number(column) }) ?? entry.key.start;
      return formatPlace(entry.file.place(offset));
    });
  const files = [...new Set(entries.map(({ file }) => file.name))];
  const placed = problems.map((problem): ConfigProblem => {
    const { place, code, excerpt } = problem;
    const [message, hint] = [problem.message, problem.hint].map((text) => text && toFile(text));
    const entry = byName.get(place?.file ?? '');
    if (entry === undefined || place === undefined) return { ...problem, message: message ?? '', hint };
    const offset = offsetOf(entry, place);
    const span = offset === undefined ? entry.key : spanAt(entry.file, offset, excerpt?.width ?? 1);
    return { ...problemAt(entry.file, span, { code, message: message ?? '', hint }), path: problem.path };
  });
  const order = ({ place }: ConfigProblem): number => files.indexOf(place?.file ?? '');
  return placed.toSorted(
    (a, b) =>
      order(a) - order(b) ||
      (a.place?.line ?? 0) - (b.place?.line ?? 0) ||
      (a.place?.column ?? 0) - (b.place?.column ?? 0),
  );
}
