/** A plan for people: what would be made, changed and refused, a line each. */
import { formatDuration } from '../config/fields.ts';
import type { Difference } from '../nats/plan.ts';
import type { PlanItem, ServerPlan } from '../reconcile/preview.ts';
import { fit, paint, type Paint, type Style, wrap } from './terminal.ts';

const MARKS: Readonly<Record<PlanItem['action'], readonly [mark: string, how: Paint]>> = {
  make: ['+', 'green'],
  change: ['~', 'yellow'],
  keep: ['=', 'yellow'],
  none: ['=', 'dim'],
  refuse: ['!', 'red'],
  unknown: ['?', 'yellow'],
};

/** Columns of mark and kind, and in front of what is said of a thing. */
const KIND = 13;
const INDENT = 4;

/** The text of a plan, each line within the width. */
export function renderPlan({ server, version, items }: ServerPlan, style: Style): string {
  const lines = [fit(`on ${server}, nats-server ${version}`, style.width), ''];
  for (const item of items) lines.push(...itemLines(item, style));
  return [...lines, '', fit(totals(items), style.width)].join('\n');
}

function itemLines(item: PlanItem, style: Style): string[] {
  const { kind, name, action, detail, differences = [], code, place } = item;
  const [mark, how] = MARKS[action];
  const said = {
    make: `would be made: ${detail}`,
    change: differences.length > 0 ? 'would be changed' : `would be changed: ${detail}`,
    keep: 'differs, and is left as it is (`manage: true` would change it)',
    none: detail ?? 'as it should be',
    refuse: kind === 'permission' ? `may not be published: ${detail}` : `refused, ${code}`,
    unknown: `not known ${detail}`,
  }[action];
  const head = `${mark} ${kind}`.padEnd(KIND);
  const first = `${name}  ${said}`;
  const room = style.width - KIND;
  const lines = first.length <= room ? [first] : [fit(name, room), ...wrap(said, room)];
  const indent = ' '.repeat(INDENT);
  return [
    ...lines.map((line, index) => (index === 0 ? paint(style, how, head) + line : ' '.repeat(KIND) + line)),
    ...differences.map((each) => indent + fit(differenceText(each), style.width - INDENT)),
    ...(action === 'refuse' && kind !== 'permission'
      ? wrap(`${place === undefined ? '' : `${place}: `}${detail}`, style.width - INDENT).map((line) => indent + line)
      : []),
  ];
}

/** Fields whose numbers are nanoseconds. */
const DURATIONS: ReadonlySet<string> = new Set(['max_age', 'duplicate_window', 'ack_wait']);

function differenceText({ field, server, config }: Difference): string {
  const text = (value: unknown): string =>
    DURATIONS.has(field) && typeof value === 'number'
      ? value === 0
        ? 'none'
        : formatDuration(Math.round(value / 1e6))
      : (JSON.stringify(value) ?? 'none');
  return `${field}: ${text(server)} → ${text(config)}`;
}

function totals(items: readonly PlanItem[]): string {
  const count = (action: PlanItem['action']): number => items.filter((item) => item.action === action).length;
  const parts = [
    [count('make'), 'to make'],
    [count('change'), 'to change'],
    [count('keep'), 'left as they are'],
    [count('refuse'), 'refused'],
    [count('unknown'), 'not known'],
  ] as const;
  const said = parts.filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`);
  return said.length === 0 ? 'Nothing to do.' : `${said.join(', ')}.`;
}
