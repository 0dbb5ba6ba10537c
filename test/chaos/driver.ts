/** A run: load and faults from one seed, then everything is mended, comes to rest, and is judged. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../helpers/wait.ts';
import { type Fault, faultsOf, TARGET_FAULTS, WORLD_FAULTS } from './faults.ts';
import { Ledger } from './ledger.ts';
import { startLoad } from './load.ts';
import { type Random, randomOf } from './random.ts';
import { Report } from './report.ts';
import { CONSUMERS, LANES, STREAM, TIMERS } from './scenario.ts';
import { judge, Problems } from './verdict.ts';
import { World } from './world.ts';

export interface ChaosOptions {
  readonly seed: number;
  /** How long events are published and faults made. */
  readonly seconds: number;
  readonly instances: number;
  /** nats-servers: 1, or 3 for a cluster. */
  readonly servers: 1 | 3;
  /** Events a second. */
  readonly rate: number;
  /** Milliseconds between the end of a fault and the next, at least and at most. */
  readonly gap: readonly [low: number, high: number];
  /** Milliseconds for everything to come to rest. */
  readonly quietWithin: number;
  /** Only faults whose name it matches are made; default: all. */
  readonly only?: RegExp;
  readonly write: (text: string) => void;
  /** Ends the load and the faults early. */
  readonly signal?: AbortSignal;
}

/** Runs it. What is wrong by kind, empty when all holds; the logs are kept then in the directory that is printed. */
export async function runChaos(options: ChaosOptions): Promise<ReadonlyMap<string, readonly string[]>> {
  const { seed, seconds, instances, servers, rate, write } = options;
  const report = new Report(seed, write);
  const directory = await mkdtemp(join(tmpdir(), `ouzel-chaos-${seed}-`));
  const ledger = new Ledger();
  const problems = new Problems();
  report.say(`${seconds} s of ${rate} events/s, ${instances} daemons, ${servers} servers; logs in ${directory}`);
  const world = await World.start({ instances, servers, directory, ledger });
  try {
    const load = startLoad(world.client, ledger, randomOf(seed, 'load'), rate);
    const failed = new AbortController();
    const signals = [AbortSignal.timeout(seconds * 1000), failed.signal, ...(options.signal ? [options.signal] : [])];
    const end = AbortSignal.any(signals);
    const ofWorld = [...WORLD_FAULTS, ...faultsOf(world.broker)];
    const lanes = [ofWorld, TARGET_FAULTS].map(async (faults, lane) => {
      const chosen = faults.filter(({ name }) => options.only?.test(name) !== false);
      try {
        await makeTrouble(world, chosen, randomOf(seed, `faults ${lane}`), end, options.gap, report);
      } catch (error) {
        problems.add('a fault that could not be made or mended', (error as Error).message);
        failed.abort();
      }
    });
    await Promise.all(lanes);
    for (const fault of [...ofWorld, ...TARGET_FAULTS]) await fault.heal(world);
    report.say('everything is mended');
    await load.end();
    report.say(`${ledger.published.size} events are published (${load.repeated} publishes were repeated)`);
    await untilQuiet(world, options.quietWithin, problems);
    report.say('at rest');
    await ledger.readStreams(world.client);
    const deliveries = await deliveriesOf(world);
    const figures = await judge(world, ledger, problems);
    report.figures(figures, world.counts, deliveries);
    report.problems(problems, directory);
  } finally {
    await world.stop();
  }
  if (problems.kinds.size === 0) await rm(directory, { recursive: true, force: true });
  return problems.kinds;
}

/** One fault after the other until the end, each of them once before any comes again. */
async function makeTrouble(
  world: World,
  faults: readonly Fault[],
  random: Random,
  end: AbortSignal,
  gap: ChaosOptions['gap'],
  report: Report,
): Promise<void> {
  const pause = async (milliseconds: number): Promise<unknown> =>
    sleep(milliseconds, undefined, { signal: end }).catch(() => undefined);
  for (let deck: Fault[] = []; ;) {
    await pause(random.integer(...gap));
    if (end.aborted) return;
    if (deck.length === 0) deck = random.shuffled(faults);
    const fault = deck.pop();
    if (fault === undefined) return;
    const lasts = random.integer(...fault.lasts);
    const detail = await fault.inject(world, random);
    report.fault(fault.name, detail, lasts);
    await pause(lasts);
    await fault.heal(world);
  }
}

/** Waits until the durables have nothing more to hand out, nothing in hand, nothing waits for a timer or its turn, and the daemons say so too. */
async function untilQuiet(world: World, timeout: number, problems: Problems): Promise<void> {
  const { client, instances } = world;
  const { jsm } = client;
  let open: string[] = [];
  const look = async (): Promise<boolean> => {
    const now: string[] = [];
    await world.supervise();
    for (const consumer of CONSUMERS) {
      const { num_pending: pending, num_ack_pending: inHand } = await jsm.consumers.info(STREAM, consumer);
      if (pending + inHand > 0) now.push(`${consumer}: ${pending} pending, ${inHand} not acked`);
    }
    for (const name of [TIMERS, LANES]) {
      const info = await jsm.streams.info(name).catch(() => undefined);
      if (info !== undefined && info.state.messages > 0) now.push(`${name}: ${info.state.messages} messages`);
    }
    // What was delivered twice may still be in work when the other copy was acked.
    for (const { name, daemon } of instances) {
      const inFlight = (await daemon?.total('ouzel_events_in_flight')) ?? 0;
      if (inFlight > 0) now.push(`${name}: ${inFlight} in flight`);
    }
    open = now;
    return now.length === 0;
  };
  try {
    await waitFor(look, { timeout, every: 250, what: () => `rest: ${open.join('; ')}` });
  } catch (error) {
    problems.add('not at rest', (error as Error).message);
  }
}

/** How many deliveries the server made, redeliveries included. */
async function deliveriesOf({ client: { jsm }, counts }: World): Promise<number> {
  let sum = counts.deliveriesBefore;
  for (const consumer of CONSUMERS) sum += (await jsm.consumers.info(STREAM, consumer)).delivered.consumer_seq;
  return sum;
}
