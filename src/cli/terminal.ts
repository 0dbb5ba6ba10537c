/** Text for a terminal: fitted to its width, without control characters, in colour where that is wanted. */
import { clip, displayWidth } from '../config/problems.ts';

export type Paint = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

const CODES: Readonly<Record<Paint, string>> = {
  bold: '1',
  dim: '2',
  red: '31',
  green: '32',
  yellow: '33',
  cyan: '36',
};

const NARROWEST = 40;
const WIDEST = 140;
const DEFAULT = 80;

export interface Style {
  /** Columns. */
  readonly width: number;
  readonly color: boolean;
}

/** How to write to a stream: 80 columns and no colour where it is no terminal; `NO_COLOR` is obeyed. */
export function styleOf(
  out: NodeJS.WriteStream,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Style {
  const width = out.isTTY ? Math.min(WIDEST, Math.max(NARROWEST, out.columns)) : DEFAULT;
  return { width, color: out.isTTY && (env['NO_COLOR'] ?? '') === '' };
}

/** A text in colour, if there is any. */
export const paint = (style: Style, how: Paint, text: string): string =>
  style.color && text !== '' ? `\u001b[${CODES[how]}m${text}\u001b[0m` : text;

/** The text in one line of at most so many columns, cut with an ellipsis. */
export function fit(text: string, columns: number): string {
  const shown = clip(text, Math.max(columns, 1));
  if (displayWidth(shown) <= columns) return shown;
  let cut = shown;
  while (cut !== '' && displayWidth(cut) >= columns) cut = [...cut].slice(0, -1).join('');
  return `${cut}…`;
}

/** The text in lines of at most so many columns, broken at spaces where there are any. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of clip(text, Infinity).split(' ')) {
    const joined = line === '' ? word : `${line} ${word}`;
    if (displayWidth(joined) <= columns) {
      line = joined;
      continue;
    }
    if (line !== '') lines.push(line);
    line = '';
    for (const character of word) {
      if (displayWidth(line + character) > columns) {
        lines.push(line);
        line = '';
      }
      line += character;
    }
  }
  lines.push(line);
  return lines;
}
