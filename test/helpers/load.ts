import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Daemon } from './daemon.ts';
import { expectIdentity, type Outcomes } from './outcomes.ts';
import { type Client, publish, readStream } from './publish.ts';
import { waitFor } from './wait.ts';

/** A producer that goes on until it is stopped. */
export interface Load {
  /** Events whose PubAck was seen. */
  readonly acked: number;
  /** Waits until that many more were acknowledged. */
  more(count: number): Promise<void>;
  /** Publishes no further number, waits until all are acknowledged, and answers how many there are: 0 to count - 1. */
  stop(): Promise<number>;
}

/** Milliseconds that a producer rests after an event: all of them are read back one by one in the end. */
const REST = 4;

/**
 * Publishes `{ n }` for 0, 1, 2, … under `<prefix>.<0 to 4>`. Each number is published until it is acknowledged; the
 * message id keeps what was stored unheard from being there twice.
 */
export function startLoad(client: Client, prefix: string, producers = 8): Load {
  let next = 0;
  let acked = 0;
  let stopped = false;
  const working = Promise.all(
    Array.from({ length: producers }, async () => {
      while (!stopped) {
        const n = next++;
        await waitFor(async () => publish(client, { subject: `${prefix}.${n % 5}`, body: { n }, id: `n-${n}` }), {
          timeout: 60_000,
          what: `event ${n} to be acknowledged`,
        });
        acked++;
        await sleep(REST);
      }
    }),
  );
  // Whoever stops it hears of a failure; until then it is nobody's.
  working.catch(() => undefined);
  return {
    get acked() {
      return acked;
    },
    more: async (count) => {
      const before = acked;
      await waitFor(() => acked >= before + count, { timeout: 60_000, what: () => `load; ${acked - before} came` });
    },
    stop: async () => {
      stopped = true;
      await working;
      return next;
    },
  };
}

/** Waits until every number below `count` is in a stream at least once, and says which came how often. */
export async function untilThrough(client: Client, stream: string, count: number, timeout = 60_000): Promise<number[]> {
  let seen: number[] = [];
  await waitFor(
    async () => {
      if ((await client.jsm.streams.info(stream)).state.messages < count) return false;
      seen = (await readStream(client, stream)).map(({ body }) => (JSON.parse(body) as { n: number }).n);
      return new Set(seen).size >= count;
    },
    { timeout, every: 200, what: () => `${count} events to come through; ${new Set(seen).size} did` },
  );
  return seen;
}

/** Waits until a durable has nothing left and nothing unacknowledged; then the sums of its consumer must hold. */
export async function untilAtRest(client: Client, stream: string, daemon: Daemon, consumer: string): Promise<Outcomes> {
  await waitFor(
    async () => {
      const { num_ack_pending: unacked, num_pending: pending } = await client.jsm.consumers.info(stream, consumer);
      return unacked === 0 && pending === 0;
    },
    { timeout: 60_000, what: `nothing to be left of ${consumer}. Its log:\n${daemon.log().slice(-3000)}` },
  );
  const outcomes = expectIdentity(await daemon.metrics(), consumer);
  expect(outcomes).toMatchObject({ deadLettered: 0, inFlight: 0 });
  return outcomes;
}

/** How many lines of the daemon's log have this in them. */
export const linesWith = (daemon: Daemon, text: string): number =>
  daemon
    .log()
    .split('\n')
    .filter((line) => line.includes(text)).length;
