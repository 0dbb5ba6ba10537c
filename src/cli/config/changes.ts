/** What a change makes of the fleet's resources, as the API says it, for people to read. */
import type { Applied } from '../../http/applied.ts';
import { diffLines } from '../lines.ts';
import { print } from '../print.ts';
import { type Paint, paint, type Style, styleOf } from '../terminal.ts';

type Change = Applied['resources'][number];

const MARKS = {
  made: ['+', 'green'],
  changed: ['~', 'yellow'],
  removed: ['-', 'red'],
  unchanged: [' ', 'dim'],
} as const;
const LINES: Readonly<Record<string, Paint>> = { '+': 'green', '-': 'red', '…': 'dim' };

/** A line a resource, in order; of those that change, the lines that do. Nothing of what stays. */
function renderChange(change: Change, style: Style): string[] {
  const { section, name, action, before, after } = change;
  const [mark, color] = MARKS[action];
  const head = paint(style, color, `${mark} ${section}/${name}`);
  if (action !== 'changed') return [head];
  const lines = diffLines(before ?? '', after ?? '').map((line) => {
    const text = line.mark === '…' ? '…' : `${line.mark} ${line.text}`.trimEnd();
    const how = LINES[line.mark];
    return `    ${how === undefined ? text : paint(style, how, text)}`.trimEnd();
  });
  return [
    head,
    ...(lines.length > 0 ? lines : [paint(style, 'dim', '      (only what is secret, or white, differs)')]),
  ];
}

/** `2 to add, 1 to change, 3 unchanged.` */
function summaryOf({ resources, dry_run: dryRun }: Applied): string {
  const count = (action: Change['action']): number => resources.filter((each) => each.action === action).length;
  const words: readonly (readonly [Change['action'], string])[] = dryRun
    ? [
        ['made', 'to add'],
        ['changed', 'to change'],
        ['removed', 'to remove'],
      ]
    : [
        ['made', 'added'],
        ['changed', 'changed'],
        ['removed', 'removed'],
      ];
  if (!differs({ resources })) return `Nothing to change: ${count('unchanged')} unchanged.`;
  return `${[...words, ['unchanged', 'unchanged'] as const].map(([action, word]) => `${count(action)} ${word}`).join(', ')}.`;
}

/** Whether anything is, or would be, changed. */
export const differs = ({ resources }: Pick<Applied, 'resources'>): boolean =>
  resources.some(({ action }) => action !== 'unchanged');

/** Prints what changes, and a sum. */
export function printChanges(answer: Applied): void {
  const style = styleOf(process.stdout);
  const changes = answer.resources.filter(({ action }) => action !== 'unchanged');
  if (changes.length > 0) print(`${changes.flatMap((each) => renderChange(each, style)).join('\n')}\n`);
  printSummary(answer);
}

/** Prints the sum alone. */
export const printSummary = (answer: Applied): void => print(summaryOf(answer));
