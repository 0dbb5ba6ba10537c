/** The producer: its own connection straight to the server, a steady rate, and every publish until its PubAck. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../helpers/publish.ts';
import { publish } from '../helpers/publish.ts';
import type { Ledger } from './ledger.ts';
import type { Random } from './random.ts';
import { bodyOf, type ChaosEvent, type Kind, KINDS, WEIGHTS } from './scenario.ts';

export interface Load {
  /** Publishes that were tried again because nobody knew what became of them. */
  readonly repeated: number;
  /** Begins no further event, and waits for the PubAck of each that began. */
  end(): Promise<void>;
}

/** Publishes that wait for their PubAck, at most: while the server is away the producer waits too. */
const WAITING = 300;
const TICK = 50;

function kindOf(random: Random): Kind {
  let rest = random.next() * KINDS.reduce((sum, kind) => sum + WEIGHTS[kind], 0);
  return KINDS.find((kind) => (rest -= WEIGHTS[kind]) < 0) ?? 'order';
}

/** Publishes `rate` events a second until `end`. */
export function startLoad(client: Client, ledger: Ledger, random: Random, rate: number): Load {
  let repeated = 0;
  let ending = false;
  let n = 0;
  const waiting = new Set<Promise<void>>();

  /** The same id each time, so that the stream keeps it once. */
  const publishUntilKnown = async (event: ChaosEvent): Promise<void> => {
    for (;;) {
      try {
        const message = { subject: `in.${event.kind}`, body: bodyOf(event), id: event.id };
        return ledger.publish(event, await publish(client, message));
      } catch {
        repeated++;
        await sleep(200);
      }
    }
  };
  const begin = (): void => {
    const event: ChaosEvent = { id: `e-${n}`, kind: kindOf(random), n };
    n++;
    const publishing = publishUntilKnown(event).finally(() => waiting.delete(publishing));
    waiting.add(publishing);
  };
  const running = (async () => {
    let due = 0;
    for (let last = performance.now(); !ending; await sleep(TICK)) {
      const now = performance.now();
      due = Math.min(due + ((now - last) / 1000) * rate, rate);
      last = now;
      for (; due >= 1 && waiting.size < WAITING; due--) begin();
    }
  })();
  return {
    get repeated() {
      return repeated;
    },
    end: async () => {
      ending = true;
      await running;
      await Promise.all(waiting);
    },
  };
}
