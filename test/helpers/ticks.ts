/** What schedules work with, without a daemon: their records on a real server, and a clock that a test turns. */
import type { Config } from '../../src/config/schema.ts';
import { ensureStream } from '../../src/nats/provision.ts';
import { createLedger } from '../../src/nats/ticks.ts';
import { schedulesSpec } from '../../src/reconcile/system-streams.ts';
import type { Clock } from '../../src/sources/schedules/clock.ts';
import type { Ledger } from '../../src/sources/schedules/ledger.ts';
import { type Client, publish } from './publish.ts';
import { waitFor } from './wait.ts';

/** Records of schedules on the server of a client. */
export const ledgerOf = ({ js, jsm }: Client): Ledger =>
  createLedger({
    client: js,
    manager: jsm,
    prepare: async () => void (await ensureStream(jsm, schedulesSpec({ nats: { system: { replicas: 1 } } } as Config))),
  });

/** A ledger whose calls go through a hand, which may hold them up or let them fail. */
export const watchedLedger = (ledger: Ledger, call: <T>(work: () => Promise<T>) => Promise<T>): Ledger => ({
  read: (...args) => call(() => ledger.read(...args)),
  write: (...args) => call(() => ledger.write(...args)),
  forget: (...args) => call(() => ledger.forget(...args)),
  streamOf: (...args) => call(() => ledger.streamOf(...args)),
  lastOn: (...args) => call(() => ledger.lastOn(...args)),
  find: (...args) => call(() => ledger.find(...args)),
  publish: (...args) => call(() => ledger.publish(...args)),
});

/** Waits until the stream of a subject has forgotten the ids that it was given up to now. */
export async function windowIsOver(client: Client, subject: string): Promise<void> {
  const id = `probe-${Math.random()}`;
  const first = await publish(client, { subject, id });
  await waitFor(async () => (await publish(client, { subject, id })) > first, {
    what: 'the duplicate window to be over',
    every: 100,
  });
}

/** Stands still until it is turned. */
export class VirtualClock implements Clock {
  #now: number;
  readonly #timers = new Map<number, { readonly at: number; readonly callback: () => void }>();
  #number = 0;

  constructor(now: number) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, callback: () => void): () => void {
    const number = this.#number++;
    this.#timers.set(number, { at: this.#now + milliseconds, callback });
    return () => this.#timers.delete(number);
  }

  /** Another time, forwards or back; what is due by then is called. */
  turn(now: number): void {
    this.#now = now;
    const due = [...this.#timers].filter(([, { at }]) => at <= now);
    for (const [number, { callback }] of due) if (this.#timers.delete(number)) callback();
  }
}
