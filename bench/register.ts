/**
 * How long it takes from the request that registers a consumer to the first event that it has handled, on every
 * instance of three. The events are in the stream already; the consumer is new each time.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { endWithThisProcess, type NatsServer } from '../src/nats/server.ts';
import { freePort } from './ports.ts';
import { median } from './sampling.ts';

const INSTANCES = 3;
/** Consumers that the file has, and that are not to be touched. */
const OTHERS = 20;
const ROUNDS = 20;
/** Enough for an instance that is late: each event takes a while, and no instance holds many. */
const EVENTS = 2_000;
const ANSWER_AFTER = 5;
const ANSWERS = 'bench.answer.';
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

export interface RegisterFigures {
  readonly instances: number;
  /** Milliseconds from the request to the first event delivered on the last of the instances; the median. */
  readonly put_to_every_instance_ms: number;
  /** The same on the first of them. */
  readonly put_to_first_instance_ms: number;
  readonly slowest_ms: number;
}

/** The figures in a line. */
export function describeRegister(figures: RegisterFigures): string {
  const { instances, put_to_every_instance_ms: every, put_to_first_instance_ms: first, slowest_ms } = figures;
  const times = `${first} ms on the first of ${instances} instances, ${every} on all, ${slowest_ms} at the slowest`;
  return `register   from PUT to the first event handled: ${times}`;
}

const config = (url: string, address: string): string => `version: 1
nats: { servers: "${url}" }
http: { listen: "${address}" }
streams:
  REGISTER: { subjects: ["register.>"], storage: memory }
consumers:
${Array.from({ length: OTHERS }, (_, number) => `  c${number}: { stream: REGISTER, subjects: ["register.c${number}"] }\n`).join('')}`;

const definition = (name: string) => ({
  stream: 'REGISTER',
  subjects: ['register.events'],
  start: 'all',
  prefetch: 10,
  concurrency: { max: 1 },
  pipeline: [{ filter: 'event.data.n >= 0' }],
  deliver: [{ to: { request: { subject: ANSWERS + name } } }],
});

/**
 * Answers what the consumers ask, and notes when each instance had its first answer. Instances are told apart by the
 * inbox that they want the answer in, so that watching them costs them nothing.
 */
class Answers {
  readonly #firsts = new Map<string, Map<string, number>>();

  constructor(nc: NatsConnection) {
    const callback = (_error: unknown, message: Msg): void =>
      void setTimeout(() => {
        message.respond();
        const instance = message.reply?.split('.').slice(0, 2).join('.') ?? '';
        const firsts = this.of(message.subject.replace(ANSWERS, ''));
        if (!firsts.has(instance)) firsts.set(instance, performance.now());
      }, ANSWER_AFTER);
    nc.subscribe(`${ANSWERS}*`, { callback });
  }

  /** When each instance had the first answer to an event of this consumer. */
  of(consumer: string): Map<string, number> {
    const firsts = this.#firsts.get(consumer) ?? new Map<string, number>();
    this.#firsts.set(consumer, firsts);
    return firsts;
  }
}

const isReady = async (address: string): Promise<boolean> =>
  (await fetch(`http://${address}/readyz`).catch(() => undefined))?.status === 200;

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(5))
    if (await holds()) return;
  throw new Error(`in a minute it did not come to this: ${what}`);
}

async function call(address: string, method: string, consumer: string, body?: unknown): Promise<void> {
  const response = await fetch(`http://${address}/api/v1/consumers/${consumer}`, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${consumer}: ${response.status} ${await response.text()}`);
  await response.body?.cancel();
}

/** Starts three daemons of its own, and registers consumers at one of them after the other. */
export async function measureRegister(server: NatsServer): Promise<RegisterFigures> {
  const directory = await mkdtemp(join(tmpdir(), 'ouzel-bench-register-'));
  const nc = await connect({ servers: server.url });
  const answers = new Answers(nc);
  const daemons = await Promise.all(
    Array.from({ length: INSTANCES }, async (_, index) => {
      const address = `127.0.0.1:${await freePort()}`;
      const file = join(directory, `ouzel-${index}.yaml`);
      await writeFile(file, config(server.url, address));
      const args = [MAIN, 'run', '--config', file];
      const child = spawn(process.execPath, args, { cwd: directory, stdio: 'ignore' });
      endWithThisProcess(child);
      return { address, child };
    }),
  );
  try {
    for (const { address } of daemons) await until('every daemon is ready', () => isReady(address));
    for (let n = 0; n < EVENTS; n++) nc.publish('register.events', JSON.stringify({ n }));
    await nc.flush();
    const times: { first: number; last: number }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const consumer = `registered-${round}`;
      const { address } = daemons[round % INSTANCES] ?? { address: '' };
      const firsts = answers.of(consumer);
      const began = performance.now();
      await call(address, 'PUT', consumer, definition(consumer));
      await until(`${consumer} handles events on each instance`, () => firsts.size === INSTANCES);
      const handled = [...firsts.values()].map((at) => at - began);
      times.push({ first: Math.min(...handled), last: Math.max(...handled) });
      await call(address, 'DELETE', consumer);
    }
    return {
      instances: INSTANCES,
      put_to_every_instance_ms: Math.round(median(times.map(({ last }) => last))),
      put_to_first_instance_ms: Math.round(median(times.map(({ first }) => first))),
      slowest_ms: Math.round(Math.max(...times.map(({ last }) => last))),
    };
  } finally {
    for (const { child } of daemons) child.kill('SIGKILL');
    await nc.close();
    await rm(directory, { recursive: true, force: true });
  }
}
