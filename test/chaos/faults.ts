/** The faults: what each breaks, and how it is mended. Mending twice is fine, and so is mending what is whole. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DiscardPolicy } from '@nats-io/jetstream';
import type { Proxy } from '../helpers/proxy.ts';
import type { Broker } from './broker.ts';
import type { HookMode } from './hook.ts';
import { publishLethal } from './lethal.ts';
import { POINTS } from './points.ts';
import type { Random } from './random.ts';
import { ACK_WAIT, CONSUMERS, DEAD_LETTERS, INVALID, OUT, STREAM } from './scenario.ts';
import type { ServiceMode } from './service.ts';
import type { Instance, World } from './world.ts';

export interface Fault {
  readonly name: string;
  /** Milliseconds that it lasts, at least and at most. */
  readonly lasts: readonly [low: number, high: number];
  /** Breaks it. What exactly, for the report. */
  inject(world: World, random: Random): Promise<string>;
  heal(world: World): Promise<void>;
}

const startMissing = (world: World): Promise<void> => world.startMissing();
const passAll = async ({ instances }: World): Promise<void> => {
  for (const { proxies } of instances) for (const proxy of proxies) await proxy.pass();
};

/** Something done to one instance that runs. */
const toOne =
  (action: (instance: Instance, world: World, random: Random) => Promise<string | undefined>) =>
  async (world: World, random: Random): Promise<string> => {
    const instance = random.pick(world.instances);
    const detail = await action(instance, world, random);
    return detail === undefined ? instance.name : `${instance.name}: ${detail}`;
  };

/** Something done to the network of one instance, or of all. */
const network = (name: string, lasts: Fault['lasts'], change: (proxy: Proxy) => Promise<void> | void): Fault => ({
  name,
  lasts,
  async inject({ instances, counts }, random) {
    const all = random.next() < 0.3;
    const one = random.pick(instances);
    const proxies = (all ? instances : [one]).flatMap((instance) => instance.proxies);
    for (const proxy of proxies) await change(proxy);
    counts.interruptions++;
    return all ? 'all' : one.name;
  },
  heal: passAll,
});

const service = (mode: ServiceMode): Fault => ({
  name: `service ${mode}`,
  lasts: [2_000, 9_000],
  inject: async (world) => {
    world.service.mode = mode;
    return 'svc.*';
  },
  heal: async (world) => void (world.service.mode = 'ok'),
});

const hook = (mode: HookMode): Fault => ({
  name: `hook ${mode}`,
  lasts: [2_000, 9_000],
  inject: async (world) => {
    await world.hook.set(mode);
    return 'webhook';
  },
  heal: (world) => world.hook.set('ok'),
});

/** A stream that takes nothing more. */
const full = (stream: string): Fault => ({
  name: `${stream} full`,
  lasts: [3_000, 9_000],
  async inject(world) {
    const { jsm } = world.client;
    await world.insist(`${stream} to be limited`, async () => {
      const { state } = await jsm.streams.info(stream);
      return jsm.streams.update(stream, { max_msgs: Math.max(1, state.messages), discard: DiscardPolicy.New });
    });
    return 'max_msgs';
  },
  heal: (world) =>
    world.insist(`${stream} to be without limit`, () =>
      world.client.jsm.streams.update(stream, { max_msgs: -1, discard: DiscardPolicy.New }),
    ),
});

/** Milliseconds in which a daemon must come to an armed point; else it is killed where it is. */
const POINT_WITHIN = 8_000;

/** Faults of processes, network and server: one at a time. */
export const WORLD_FAULTS: readonly Fault[] = [
  {
    name: 'kill',
    lasts: [200, 3_000],
    inject: toOne(async (instance, { counts }) => {
      counts.kills++;
      await instance.kill();
      return undefined;
    }),
    heal: startMissing,
  },
  ...POINTS.map((point): Fault => ({
    name: `kill ${point.name}`,
    lasts: [100, 1_000],
    inject: toOne(async (instance, { counts }) => {
      counts.kills++;
      const there = await instance.killAt(point, POINT_WITHIN);
      if (there) counts.pointsReached.set(point.name, (counts.pointsReached.get(point.name) ?? 0) + 1);
      return there ? undefined : 'did not come there, killed all the same';
    }),
    heal: startMissing,
  })),
  {
    name: 'lethal event',
    lasts: [0, 500],
    inject: async (world) => `killed ${await publishLethal(world)} times`,
    heal: startMissing,
  },
  {
    name: 'kill all',
    lasts: [500, 3_000],
    async inject({ instances, counts }) {
      counts.kills += instances.length;
      await Promise.all(instances.map((instance) => instance.kill()));
      return `${instances.length} daemons`;
    },
    heal: startMissing,
  },
  {
    name: 'stop and continue',
    lasts: [ACK_WAIT + 1_000, ACK_WAIT + 4_000],
    inject: toOne(async ({ daemon }, { counts }) => {
      counts.interruptions++;
      daemon?.signal('SIGSTOP');
      return undefined;
    }),
    heal: async ({ instances }) => {
      for (const { daemon } of instances) daemon?.signal('SIGCONT');
    },
  },
  {
    name: 'drain',
    lasts: [100, 1_500],
    inject: toOne(async (instance, world) => {
      const code = await instance.drain();
      if (code !== 0) world.problems.push(`${instance.name}: ended with ${code} when it was to drain`);
      return `exit code ${code}`;
    }),
    heal: startMissing,
  },
  {
    name: 'reload storm',
    lasts: [0, 500],
    inject: toOne(async ({ daemon }, world, random) => {
      const writes = random.integer(6, 12);
      for (let count = 0; count < writes; count++) {
        const invalid = random.next() < 0.5;
        await daemon?.write(invalid ? random.pick(INVALID) : world.nextYaml());
        await sleep(random.integer(50, 400));
      }
      await daemon?.write(random.pick(INVALID));
      return `${writes} configurations`;
    }),
    heal: async (world) => {
      for (const { daemon } of world.instances) await daemon?.write(world.yaml);
    },
  },
  network('cut', [500, 6_000], (proxy) => proxy.cut()),
  network('reset', [0, 200], (proxy) => proxy.reset()),
  network('half-open', [2_000, 12_000], (proxy) => proxy.halfOpen()),
  network('latency', [4_000, 10_000], (proxy) => proxy.latency(2_000)),
  network('throttle', [3_000, 8_000], (proxy) => proxy.throttle(20_000)),
  {
    name: 'durable deleted',
    lasts: [1_000, 2_000],
    async inject(world, random) {
      const consumer = random.pick(CONSUMERS);
      const { jsm } = world.client;
      world.counts.interruptions++;
      await world.insist(`${consumer} to be deleted`, async () => {
        const { delivered } = await jsm.consumers.info(STREAM, consumer);
        await jsm.consumers.delete(STREAM, consumer);
        world.counts.deliveriesBefore += delivered.consumer_seq;
      });
      return consumer;
    },
    heal: async () => undefined,
  },
];

/** What only these servers can suffer; one at a time with the faults of the world. */
export const faultsOf = ({ faults }: Broker): readonly Fault[] =>
  faults.map((fault) => ({
    name: fault.name,
    lasts: fault.lasts,
    inject: async ({ counts }, random) => {
      if (fault.kills === true) counts.serverKills++;
      else counts.interruptions++;
      return fault.inject(random);
    },
    heal: ({ broker }) => broker.bringBack(),
  }));

/** Faults of what events are delivered to: one at a time, beside those of the world. */
export const TARGET_FAULTS: readonly Fault[] = [
  service('down'),
  service('failing'),
  service('busy'),
  service('silent'),
  service('forgetful'),
  hook('down'),
  hook('failing'),
  hook('busy'),
  hook('hanging'),
  hook('trickling'),
  hook('forgetful'),
  full(OUT),
  full(DEAD_LETTERS),
];
