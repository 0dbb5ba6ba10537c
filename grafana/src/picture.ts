/**
 * Draws a dashboard's panels as an SVG from what `query_range` answered: for the documentation, where no Grafana is at
 * hand. It is no screenshot, and says so.
 */
import type { DashboardSpec, PanelSpec } from './panels.ts';

/** A line of a panel. */
export interface Line {
  readonly legend: string;
  /** Seconds since the epoch, and the value then. */
  readonly points: readonly (readonly [time: number, value: number])[];
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

const WIDTH = 1200;
const HEIGHT = 210;
const NUMBER_HEIGHT = 90;
const ROW_HEIGHT = 34;
const COLOURS = ['#3274d9', '#e02f44', '#37872d', '#ff9830', '#8f3bb8', '#0f8a8a', '#b5651d', '#6b7280'];
const LEGENDS = 5;
/** Grafana's names of colours, as they are drawn here. */
const NAMED: Readonly<Record<string, string>> = {
  green: '#73bf69',
  red: '#e02f44',
  'dark-red': '#8b1a2b',
  orange: '#ff9830',
  yellow: '#fade2a',
  blue: '#5794f2',
  grey: '#9aa0a6',
};

/**
 * @param linesOf What `query_range` answered for a panel.
 * @param note Stands below the title: where the figures come from.
 */
export function drawDashboard(
  spec: DashboardSpec,
  linesOf: (panel: PanelSpec) => readonly Line[],
  range: Range,
  note: string,
): string {
  const parts: string[] = [text(16, 28, spec.title, 20, '#111', 'bold'), text(16, 48, note, 12, '#555')];
  let y = 60;
  for (const row of spec.rows) {
    parts.push(text(16, y + 22, row.title, 15, '#111', 'bold'));
    y += ROW_HEIGHT;
    let x = 0;
    let height = 0;
    for (const panel of row.panels) {
      const width = ((panel.width ?? 8) / 24) * WIDTH;
      if (x + width > WIDTH + 1) {
        x = 0;
        y += height;
        height = 0;
      }
      const own = panel.kind === 'number' ? NUMBER_HEIGHT : HEIGHT;
      parts.push(`<g transform="translate(${x} ${y})">${drawPanel(panel, linesOf(panel), width, own, range)}</g>`);
      x += width;
      height = Math.max(height, own);
    }
    y += height;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 10}" font-family="sans-serif">\n<rect width="100%" height="100%" fill="#f4f5f5"/>\n${parts.join('\n')}\n</svg>\n`;
}

function drawPanel(panel: PanelSpec, lines: readonly Line[], width: number, height: number, range: Range): string {
  const frame = `<rect x="4" y="4" width="${width - 8}" height="${height - 8}" rx="3" fill="#fff" stroke="#d8d9da"/>`;
  const body = { line: drawLines, stack: drawLines, number: drawNumber, states: drawStates, table: drawTable }[
    panel.kind
  ];
  return frame + text(12, 22, panel.title, 12, '#222', 'bold') + body(panel, lines, width, height, range);
}

function drawLines(panel: PanelSpec, lines: readonly Line[], width: number, height: number, range: Range): string {
  const [left, right, top, bottom] = [58, width - 14, 34, height - 68];
  const finite = lines.flatMap(({ points }) =>
    points.map(([, value]) => value).filter((value) => Number.isFinite(value)),
  );
  const most = nice(Math.max(...finite, 0));
  const x = (time: number): number => left + ((time - range.from) / (range.to - range.from)) * (right - left);
  const y = (value: number): number => bottom - (value / most) * (bottom - top);
  const grid = [0, 0.5, 1].map((share) => {
    const at = y(most * share);
    return (
      `<path d="M${left} ${at}H${right}" stroke="#e5e5e5"/>` +
      text(left - 6, at + 4, shown(most * share, panel.unit), 10, '#555', 'normal', 'end')
    );
  });
  const times = [0, 0.5, 1].map((share) => {
    const time = range.from + share * (range.to - range.from);
    return text(
      x(time),
      bottom + 14,
      clock(time),
      10,
      '#555',
      'normal',
      share === 0 ? 'start' : share === 1 ? 'end' : 'middle',
    );
  });
  const curves = lines.map(({ points }, index) => {
    let gap = true;
    const path = points.map(([time, value]) => {
      if (!Number.isFinite(value)) {
        gap = true;
        return '';
      }
      const step = `${gap ? 'M' : 'L'}${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
      gap = false;
      return step;
    });
    return `<path d="${path.join('')}" fill="none" stroke="${colour(index)}" stroke-width="1.5"/>`;
  });
  return [...grid, ...times, ...curves, ...legends(lines, height, width)].join('');
}

function legends(lines: readonly Line[], height: number, width: number): string[] {
  const columns = width < 500 ? 2 : 4;
  const column = (width - 24) / columns;
  const room = Math.floor(column / 6) - 3;
  const drawn = lines.slice(0, LEGENDS + 1).map(({ legend }, index) => {
    const [x, y] = [12 + (index % columns) * column, height - 38 + Math.floor(index / columns) * 12];
    const label = index === LEGENDS && lines.length > LEGENDS + 1 ? `and ${lines.length - LEGENDS} more` : legend;
    return (
      `<rect x="${x}" y="${y - 7}" width="8" height="3" fill="${colour(index)}"/>` +
      text(x + 12, y, label.slice(0, room), 10, '#333')
    );
  });
  return drawn;
}

function drawNumber(panel: PanelSpec, lines: readonly Line[], width: number): string {
  const value = lines[0]?.points.at(-1)?.[1] ?? Number.NaN;
  const [, name, named] = panel.names?.find(([each]) => each === value) ?? [];
  const bad = panel.alarm !== undefined && value >= panel.alarm;
  const paint = named === undefined ? (bad ? NAMED['red'] : NAMED['green']) : NAMED[named];
  return text(width / 2, 66, name ?? shown(value, panel.unit), 28, paint ?? '#333', 'bold', 'middle');
}

function drawStates(panel: PanelSpec, lines: readonly Line[], width: number, height: number, range: Range): string {
  const [left, right, top] = [110, width - 14, 36];
  const each = Math.min(24, (height - top - 40) / Math.max(1, lines.length));
  const x = (time: number): number => left + ((time - range.from) / (range.to - range.from)) * (right - left);
  const bars = lines.map(({ legend, points }, index) => {
    const y = top + index * each;
    const parts = points.map(([time, value], at) => {
      const until = points[at + 1]?.[0] ?? time;
      const named = panel.names?.find(([number]) => number === value)?.[2] ?? 'grey';
      return `<rect x="${x(time).toFixed(1)}" y="${y}" width="${Math.max(0.5, x(until) - x(time) + 0.3).toFixed(1)}" height="${each - 5}" fill="${NAMED[named]}"/>`;
    });
    return text(left - 6, y + each / 2 + 2, legend.slice(0, 16), 10, '#333', 'normal', 'end') + parts.join('');
  });
  const used = new Set(lines.flatMap(({ points }) => points.map(([, value]) => value)));
  const key = (panel.names ?? [])
    .filter(([value]) => used.has(value))
    .map(([, name, named], index) => {
      const at = 12 + index * 105;
      return (
        `<rect x="${at}" y="${height - 24}" width="10" height="10" fill="${NAMED[named]}"/>` +
        text(at + 14, height - 15, name, 10, '#333')
      );
    });
  return [...bars, ...key].join('');
}

const drawTable = (_panel: PanelSpec, lines: readonly Line[]): string =>
  lines.map(({ legend }, index) => text(12, 48 + index * 18, legend, 11, '#333')).join('');

function text(
  x: number,
  y: number,
  value: string,
  size: number,
  fill: string,
  weight = 'normal',
  anchor = 'start',
): string {
  const escaped = value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" font-size="${size}" fill="${fill}" font-weight="${weight}" text-anchor="${anchor}">${escaped}</text>`;
}

const colour = (index: number): string => COLOURS[index % COLOURS.length] ?? '#333';
const clock = (time: number): string => new Date(time * 1000).toISOString().slice(11, 19);

/** The next of 1, 2, 5, 10, … above a value; 1 for nothing. */
function nice(value: number): number {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * unit >= value) ?? 10) * unit;
}

function shown(value: number, unit: string): string {
  if (!Number.isFinite(value)) return 'no data';
  if (unit === 'bytes') return `${Math.round(value / 2 ** 20)} MiB`;
  if (unit === 'percentunit') return `${Math.round(value * 100)}%`;
  if (unit === 's') return value === 0 || value >= 1 ? `${round(value)} s` : `${round(value * 1000)} ms`;
  return unit === 'ops' ? `${round(value)}/s` : round(value);
}

const round = (value: number): string => String(Number(value.toPrecision(3)));
