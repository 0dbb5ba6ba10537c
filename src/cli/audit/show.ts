/** What is recorded of events, for people: one event's way, or a list. */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { Command } from 'commander';
import { type AuditSelectors, AUDIT_SELECTORS } from '../../audit/query.ts';
import { payloadOf } from '../../audit/payloads.ts';
import { searchTrail } from '../../audit/search.ts';
import { type ShownRecord, showRecord, type Timeline, timelinesOf } from '../../audit/show.ts';
import { FIRST_RUN } from '../../core/handover.ts';
import { wholeNumber } from '../arguments.ts';
import { instant } from '../dlq/options.ts';
import { print, printJson, table } from '../print.ts';
import { CONFIG_OPTION, withSession } from '../session.ts';
import { fit, paint, type Paint, styleOf, wrap } from '../terminal.ts';

/** Columns in front of an error. */
const INDENT = 23;
const SHOWN = 50;
const MOST = 10_000;

export interface ShowOptions extends Omit<AuditSelectors, 'event'> {
  readonly config?: string;
  readonly limit?: number;
  readonly json?: boolean;
  readonly data?: boolean;
}

/** Adds the options by which records are selected. */
export const withSelectors = (command: Command): Command =>
  command
    .option(...CONFIG_OPTION)
    .option('--consumer <name>', 'only of this consumer')
    .option('--key <key>', 'only of events with this key')
    .option('--type <pattern>', 'only of this type; `*` stands for one part, `>` for the rest')
    .option('--outcome <kind>', 'only delivered, filtered, dropped or dead_lettered')
    .option('--reason <code>', 'only with this reason')
    .option('--since <when>', 'only recorded since then: 2026-01-31T08:00:00Z, or 2h (ago)')
    .option('--until <when>', 'only recorded until then')
    .option(
      '--limit <n>',
      `how many records at most, the newest (default: ${SHOWN}; of one event: ${MOST})`,
      wholeNumber,
    )
    .option('--data', 'of one event, with its data, if that is kept (audit: { payloads: true })')
    .option('--json', 'as JSON');

/** @param event Id, key or place (`EVENTS:17`); undefined: the newest records. */
export async function show(event: string | undefined, options: ShowOptions): Promise<void> {
  const { config, json, limit = event === undefined ? SHOWN : MOST } = options;
  const selectors = Object.fromEntries(
    AUDIT_SELECTORS.flatMap((name) => {
      const value = name === 'event' ? event : options[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
  await withSession(config, async (session) => {
    const { found, more } = await searchTrail(session, session.loaded.config.audit, selectors, { limit });
    const records = found.map(showRecord);
    if (json === true)
      return printJson(event === undefined ? { records, more } : { events: timelinesOf(records), more });
    if (records.length === 0)
      return print(event === undefined ? 'Nothing is recorded.' : `Nothing is recorded of ${event}.`);
    if (event === undefined) printList(records);
    else
      for (const timeline of timelinesOf(records)) {
        printTimeline(timeline);
        if (options.data === true) print(`  ${await dataOf(session.manager, timeline)}`);
      }
    if (more) print(`… and more: the newest ${limit} are shown.`);
  });
}

/** As text, or what there is to say in its place. */
async function dataOf(manager: JetStreamManager, { key, steps }: Timeline): Promise<string> {
  const hash = steps.find(({ payload }) => payload !== undefined)?.payload;
  if (hash === undefined) return 'Its data is not kept.';
  const bytes = await payloadOf(manager, hash, key);
  return bytes === undefined ? 'Its data was erased.' : Buffer.from(bytes).toString();
}

function printList(records: readonly ShownRecord[]): void {
  const rows = records.map((record) => [
    instant(record.at),
    record.consumer,
    resultOf(record),
    `${record.stream}:${record.sequence}`,
    record.type ?? record.subject ?? '',
    record.key ?? '',
    fit([detailOf(record), causeOf(record)].filter(Boolean).join(' · '), 80),
  ]);
  print(table(['RECORDED', 'CONSUMER', 'RESULT', 'EVENT', 'TYPE', 'KEY', 'DETAIL'], rows));
}

function printTimeline({ stream, sequence, time, id, type, key, steps }: Timeline): void {
  const style = styleOf(process.stdout);
  const place = `${stream}:${sequence}`;
  const names = [...new Set([key, id, type, place])].filter((name) => name !== undefined);
  print(`${paint(style, 'bold', names.join('  '))}  ${instant(time)}`);
  const width = Math.max(...steps.map(({ consumer }) => consumer.length));
  const wide = Math.max(...steps.map((step) => resultOf(step).length));
  for (const step of steps) {
    const result = paint(style, COLORS[step.outcome ?? 'attempt'], resultOf(step).padEnd(wide));
    print(`  ${instant(step.at)}  ${step.consumer.padEnd(width)}  ${result}  ${detailOf(step)}`.trimEnd());
    for (const line of wrap(causeOf(step), style.width - INDENT)) if (line !== '') print(' '.repeat(INDENT) + line);
  }
}

const COLORS: Readonly<Record<NonNullable<ShownRecord['outcome']> | 'attempt', Paint>> = {
  delivered: 'green',
  filtered: 'dim',
  dropped: 'yellow',
  dead_lettered: 'red',
  attempt: 'yellow',
};

const resultOf = ({ kind, outcome, attempt }: ShownRecord): string =>
  kind === 'attempt' || outcome === undefined ? `attempt ${attempt} failed` : outcome;

const causeOf = ({ code, error, target }: ShownRecord): string => [target, code, error].filter(Boolean).join(' ');

function detailOf({ kind, reason, routes, run, attempt, duration_ms, delay_ms }: ShownRecord): string {
  const parts = [
    ...(reason === undefined ? [] : [reason]),
    ...(routes.length === 0 ? [] : [`→ ${routes.join(', ')}`]),
    ...(kind === 'outcome' && attempt > 1 ? [`attempt ${attempt}`] : []),
    ...(run === FIRST_RUN ? [] : [run]),
    ...(delay_ms === undefined ? [] : [`again in ${seconds(delay_ms)}`]),
    ...(kind === 'outcome' ? [`${Math.round(duration_ms)} ms`] : []),
  ];
  return parts.join(' · ');
}

const seconds = (milliseconds: number): string =>
  milliseconds < 1_000 ? `${milliseconds} ms` : `${Math.round(milliseconds / 100) / 10} s`;
