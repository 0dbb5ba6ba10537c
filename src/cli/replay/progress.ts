/** Shows how far a replay is: a bar on a terminal, a line now and then elsewhere. */
import type { ReplayRecord } from '../../replay/record.ts';
import { fit, styleOf } from '../terminal.ts';

/** Milliseconds between two drawings, and between two lines. */
const DRAW = 100;
const LINE = 5_000;
const BAR = 24;

export interface Progress {
  show(record: ReplayRecord, waits: string | undefined): void;
  /** Takes the bar away. */
  clear(): void;
}

export function progressOf(out: NodeJS.WriteStream = process.stderr): Progress {
  let shownAt = out.isTTY ? -Infinity : performance.now();
  let drawn = false;
  let pace: { readonly at: number; readonly read: number } | undefined;
  return {
    show(record, waits) {
      const now = performance.now();
      pace ??= { at: now, read: record.read };
      if (now - shownAt < (out.isTTY ? DRAW : LINE)) return;
      shownAt = now;
      const text = lineOf(record, (record.read - pace.read) / Math.max(0.001, (now - pace.at) / 1000), waits);
      if (!out.isTTY) return void out.write(`${text}\n`);
      drawn = true;
      out.write(`\r\u001b[K${fit(`${barOf(record)} ${text}`, styleOf(out).width - 1)}`);
    },
    clear() {
      if (drawn) out.write('\r\u001b[K');
    },
  };
}

const shareOf = ({ read, extent: { total } }: ReplayRecord): number => (total === 0 ? 1 : Math.min(1, read / total));

function barOf(record: ReplayRecord): string {
  const done = Math.round(shareOf(record) * BAR);
  return `[${'='.repeat(done)}${' '.repeat(BAR - done)}]`;
}

function lineOf(record: ReplayRecord, pace: number, waits: string | undefined): string {
  const percent = Math.floor(shareOf(record) * 100);
  const wait = waits === undefined ? '' : `; waits for ${waits}, which has as many due as it may`;
  return `${percent} %, ${record.read} of ${record.extent.total} read, ${record.selected} handed over, ${Math.round(pace)}/s${wait}`;
}
