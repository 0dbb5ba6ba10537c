/** Where in which file a plugin's import failed. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileOf, type Graph } from './hooks.ts';

export interface Spot {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
  readonly width: number;
  /** What the parser says, where it says more than the error. */
  readonly message?: string;
}

/** `file:///a/b.ts?ouzel=1:2`, then lines of source, then a caret: how Node decorates syntax errors. */
const DECORATED = /^(file:\/\/\S+?):(\d+)\r?\n(?:.*\r?\n)*?([ \t]*)(\^+)/;
const FRAME = /(file:\/\/[^\s()]*[?&]ouzel=\d+):(\d+):(\d+)/;

/** The nearest that can be told; undefined where the error says nothing. */
export function locate(error: unknown, graph: Graph): Spot | undefined {
  const { unresolved } = graph;
  if (unresolved !== undefined) return importSpot(unresolved);
  if (!(error instanceof Error)) return undefined;
  const stack = error.stack ?? '';
  const decorated = DECORATED.exec(stack);
  if (decorated !== null) {
    const [, url = '', line, indent = '', carets = ''] = decorated;
    return { file: fileOf(url), line: Number(line), column: indent.length + 1, width: carets.length };
  }
  const frame = FRAME.exec(stack);
  if (frame !== null) {
    const [, url = '', line, column] = frame;
    return { file: fileOf(url), line: Number(line), column: Number(column), width: 1 };
  }
  return error instanceof SyntaxError ? syntaxSpot(graph) : undefined;
}

/** Where an import stands that led nowhere. */
function importSpot({ specifier, file }: NonNullable<Graph['unresolved']>): Spot {
  const text = textOf(file);
  const quoted = ['"', "'", '`'].map((quote) => text.indexOf(quote + specifier + quote)).find((at) => at >= 0);
  const before = text.slice(0, quoted ?? 0).split('\n');
  return {
    file,
    line: before.length,
    column: (before.at(-1)?.length ?? 0) + 1,
    width: quoted === undefined ? 1 : specifier.length + 2,
  };
}

/** Of plain JavaScript, Node keeps the place of a syntax error to itself until it prints it: asked in another process. */
function syntaxSpot({ files }: Graph): Spot | undefined {
  for (const file of [...files.keys()].reverse()) {
    if (!/\.m?js$/.test(file)) continue;
    const { stderr } = spawnSync(process.execPath, ['--check', '--input-type=module', '-'], {
      input: textOf(file),
      encoding: 'utf8',
      timeout: 5000,
    });
    const found = /^\[stdin\]:(\d+)\r?\n.*\r?\n([ \t]*)(\^+)\s+(?:SyntaxError: (.*))?/.exec(stderr ?? '');
    if (found === null) continue;
    const [, line, indent = '', carets = '', message] = found;
    const spot = { file, line: Number(line), column: indent.length + 1, width: carets.length };
    return message === undefined ? spot : { ...spot, message };
  }
  return undefined;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
