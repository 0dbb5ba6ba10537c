/** What schedules work with, without a daemon: their records on a real server, and a clock that a test turns. */
import type { Config } from '../../src/config/schema.ts';
import { ensureStream } from '../../src/nats/provision.ts';
import { createLedger } from '../../src/nats/ticks.ts';
import { schedulesSpec } from '../../src/reconcile/system-streams.ts';
import type { Clock } from '../../src/sources/schedules/clock.ts';
import type { Ledger } from '../../src/sources/schedules/ledger.ts';
import { type Client, publish } from './publish.ts';
import { waitFor } from './wait.ts';

/** What every request to the server goes through: it may be held up, or fail. */
export type Hand = <T>(work: () => Promise<T>) => Promise<T>;

/** Records of schedules on the server of a client. */
export function ledgerOf({ js, jsm }: Client, hand: Hand = (work) => work()): Ledger {
  const streams = watched(jsm.streams, { getMessage: (...args) => hand(() => jsm.streams.getMessage(...args)) });
  return createLedger({
    client: watched(js, { publish: (...args) => hand(() => js.publish(...args)) }),
    manager: watched(jsm, { streams }),
    prepare: async () => void (await ensureStream(jsm, schedulesSpec({ nats: { system: { replicas: 1 } } } as Config))),
  });
}

/** An object with some of its members in another's place. */
const watched = <T extends object>(of: T, own: Partial<T>): T =>
  new Proxy(of, {
    get: (target, name) => {
      const value: unknown = Reflect.get(name in own ? own : target, name);
      return typeof value === 'function' && !(name in own) ? (value.bind(target) as unknown) : value;
    },
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
