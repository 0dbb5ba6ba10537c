/** Which lines of a text became which: the longest common subsequence of lines, for people to read. */

export interface DiffLine {
  /** `…` stands for equal lines that are left out. */
  readonly mark: ' ' | '-' | '+' | '…';
  readonly text: string;
}

/** Equal lines that are shown before and behind a change. */
const CONTEXT = 2;
/** Cells of the table, at most; beyond, everything is replaced by everything. */
const MAX_CELLS = 4_000_000;

const linesOf = (text: string): string[] => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));

/** The lines that went and came, with some of those around them. Empty where nothing differs but the last line's end. */
export function diffLines(before: string, after: string): DiffLine[] {
  const [old, now] = [linesOf(before), linesOf(after)];
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head++;
  let tail = 0;
  while (tail < Math.min(old.length, now.length) - head && old.at(-1 - tail) === now.at(-1 - tail)) tail++;
  const equal = (text: string): DiffLine => ({ mark: ' ', text });
  return shortened([
    ...old.slice(0, head).map(equal),
    ...changed(old.slice(head, old.length - tail), now.slice(head, now.length - tail)),
    ...old.slice(old.length - tail).map(equal),
  ]);
}

function changed(old: readonly string[], now: readonly string[]): DiffLine[] {
  const width = now.length + 1;
  const isLarge = (old.length + 1) * width > MAX_CELLS;
  /** How many lines are common from these two on. */
  const common = new Uint32Array(isLarge ? 0 : (old.length + 1) * width);
  const at = (i: number, j: number): number => common[i * width + j] ?? 0;
  if (!isLarge)
    for (let i = old.length - 1; i >= 0; i--)
      for (let j = now.length - 1; j >= 0; j--)
        common[i * width + j] = old[i] === now[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  const lines: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    const [gone, come] = [old[i], now[j]];
    if (!isLarge && gone !== undefined && gone === come) {
      lines.push({ mark: ' ', text: gone });
      i++;
      j++;
    } else if (gone !== undefined && (come === undefined || at(i + 1, j) >= at(i, j + 1))) {
      lines.push({ mark: '-', text: gone });
      i++;
    } else {
      lines.push({ mark: '+', text: come ?? '' });
      j++;
    }
  }
  return lines;
}

/** Without equal lines that are far from every change. */
function shortened(lines: readonly DiffLine[]): DiffLine[] {
  const changes = lines.flatMap(({ mark }, index) => (mark === ' ' ? [] : [index]));
  const near = new Set(
    changes.flatMap((index) => Array.from({ length: 2 * CONTEXT + 1 }, (_, offset) => index - CONTEXT + offset)),
  );
  if (changes.length === 0) return [];
  return lines.flatMap((line, index): DiffLine[] => {
    if (near.has(index)) return [line];
    return index === 0 || near.has(index - 1) ? [{ mark: '…', text: '' }] : [];
  });
}
