/** Whether what was promised holds: the ledger against what must become of each event. */
import { outcomesOf } from '../helpers/outcomes.ts';
import type { Ledger, Letter } from './ledger.ts';
import {
  type ChaosEvent,
  CONSUMERS,
  type Expectation,
  expectationsOf,
  isDelayed,
  orderKey,
  POISON,
} from './scenario.ts';
import type { Instance, World } from './world.ts';

/** What is wrong, by kind. */
export class Problems {
  readonly kinds = new Map<string, string[]>();

  add(kind: string, detail: string): void {
    this.kinds.set(kind, [...(this.kinds.get(kind) ?? []), detail]);
  }
}

export interface Figures {
  events: number;
  /** Of the ledger, over all consumers. */
  delivered: number;
  filtered: number;
  deadLettered: Record<string, number>;
  effects: number;
  /** Effects that came again, with the same id. */
  duplicates: number;
}

interface Sums {
  readonly problems: Problems;
  readonly figures: Figures;
  /** Attempts that a crash may have added. */
  readonly crashes: number;
}

const shown = (event: ChaosEvent, { consumer }: Expectation): string => `${consumer}: ${event.id} (n ${event.n})`;

function checkLetter(event: ChaosEvent, expectation: Expectation, letter: Letter, { problems, crashes }: Sums): void {
  const what = `${shown(event, expectation)}: ${letter.reason} after ${letter.attempts}: ${letter.error}`;
  if (letter.run !== 'first') problems.add('a dead letter of a run that nobody asked for', what);
  const expected = expectation.letter;
  // Bad luck is allowed, within a bound: `checkPoison`.
  if (letter.reason === POISON && expected?.reason !== POISON) return;
  if (expected === undefined || letter.reason !== expected.reason)
    return problems.add('a dead letter that nobody expects', what);
  if (letter.attempts < expected.attempts) problems.add('a dead letter before its attempts', what);
  if (letter.attempts > expected.attempts + crashes) problems.add('attempts beyond the limit and crashes', what);
}

/** One event at one consumer: exactly one outcome. */
function checkEvent(event: ChaosEvent, expectation: Expectation, ledger: Ledger, sums: Sums): void {
  const { problems, figures } = sums;
  const what = shown(event, expectation);
  const letters = ledger.lettersOf(expectation.consumer, event.id);
  const [letter] = letters;
  if (new Set(letters.map(({ id }) => id)).size > 1)
    problems.add('two dead letters', `${what}: ${letters.map(({ id }) => id).join(' and ')}`);
  if (letter !== undefined) {
    checkLetter(event, expectation, letter, sums);
    figures.deadLettered[letter.reason] = (figures.deadLettered[letter.reason] ?? 0) + 1;
  } else if (expectation.letter !== undefined) problems.add('lost: neither effect nor dead letter', what);

  for (const route of expectation.routes) {
    const ids = ledger.effectsOf(expectation.consumer, route, event.id);
    if (ids.size > 1)
      problems.add('two ids for one event and route', `${what}/${route}: ${[...ids.keys()].join(' and ')}`);
    if (ids.has('')) problems.add('an effect without an id', `${what}/${route}`);
    const stands = letter !== undefined && (letter.routes.length === 0 || letter.routes.includes(route));
    if (ids.size === 0 && !stands) problems.add('lost: neither effect nor dead letter', `${what}/${route}`);
    if (ids.size > 0 && stands && letter.reason !== POISON)
      problems.add('delivered, and a dead letter for the same route', `${what}/${route}: ${letter.reason}`);
  }
  if (letter !== undefined) return;
  if (expectation.routes.length === 0) figures.filtered++;
  else figures.delivered++;
}

/** Events of a key came in the order of the stream, but for those that were held back. */
function checkOrder({ published, effects }: Ledger, { problems }: Sums): void {
  const before = new Map<number, { readonly id: string; readonly sequence: number }>();
  for (const key of effects.keys()) {
    const [consumer, , id = ''] = key.split('/');
    const event = published.get(id);
    if (consumer !== 'keyed' || event === undefined || isDelayed(event.n)) continue;
    const last = before.get(orderKey(event.n));
    if (last !== undefined && last.sequence > event.sequence)
      problems.add('out of order', `${id} came behind ${last.id}, of the same key`);
    before.set(orderKey(event.n), event);
  }
}

/** Each kill makes one event a little more suspect for each consumer, and an innocent one rarely twice. */
function checkPoison({ published, letters }: Ledger, kills: number, { problems }: Sums): void {
  const innocent = [...letters.values()]
    .flat()
    .filter(({ reason, event }) => reason === POISON && published.get(event)?.kind !== 'lethal');
  if (innocent.length <= kills) return;
  for (const { consumer, event } of innocent) problems.add(`poison, with ${kills} kills`, `${consumer}: ${event}`);
}

/** Effects and dead letters that no publish accounts for. */
function checkOrigins({ published, effects, letters }: Ledger, { problems, figures }: Sums): void {
  for (const [key, ids] of effects) {
    const [consumer = '', route = '', id = ''] = key.split('/');
    const event = published.get(id);
    const expectation = event && expectationsOf(event).find((each) => each.consumer === consumer);
    if (event === undefined) problems.add('an effect without a publish', key);
    else if (expectation?.routes.includes(route) !== true) problems.add('an effect on a route that is not taken', key);
    for (const count of ids.values()) {
      figures.effects += count;
      figures.duplicates += count - 1;
    }
  }
  for (const [key, [letter]] of letters)
    if (!published.has(letter?.event ?? '')) problems.add('a dead letter without a publish', key);
}

/** What a daemon that lives says of itself. */
async function checkDaemon({ name, daemon, startMemory }: Instance, problems: Problems): Promise<void> {
  if (daemon === undefined) return problems.add('a daemon that does not run', name);
  const ready = await fetch(`${daemon.http}/readyz`);
  if (ready.status !== 200) problems.add('not ready', `${name}: ${ready.status} ${await ready.text()}`);
  const metrics = await daemon.metrics();
  for (const consumer of CONSUMERS) {
    const found = outcomesOf(metrics, consumer);
    const { received, ended, retries, returned, parked, inFlight } = found;
    if (received !== ended + retries + returned + parked + inFlight || inFlight !== 0)
      problems.add('metrics do not add up', `${name}: ${consumer}: ${JSON.stringify(found)}`);
  }
  const memory = metrics.total('process_resident_memory_bytes');
  if (memory > startMemory + MORE_MEMORY)
    problems.add('memory grew', `${name}: from ${mebibytes(startMemory)} at its start to ${mebibytes(memory)} MiB`);
}

/** Bytes that a daemon at rest may have above what it had at its start: its caches and the room of the collector. */
const MORE_MEMORY = 200 * 2 ** 20;
const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);

/** Judges a run that has come to rest. */
export async function judge(world: World, ledger: Ledger, problems: Problems): Promise<Figures> {
  const figures: Figures = { events: 0, delivered: 0, filtered: 0, deadLettered: {}, effects: 0, duplicates: 0 };
  const { kills, serverKills, interruptions } = world.counts;
  const sums: Sums = { problems, figures, crashes: kills + serverKills + interruptions };
  for (const event of ledger.published.values()) {
    figures.events++;
    for (const expectation of expectationsOf(event)) checkEvent(event, expectation, ledger, sums);
  }
  checkOrigins(ledger, sums);
  checkOrder(ledger, sums);
  checkPoison(ledger, kills, sums);
  for (const instance of world.instances) await checkDaemon(instance, problems);
  for (const problem of world.problems) problems.add('while it ran', problem);
  return figures;
}
