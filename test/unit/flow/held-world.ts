/**
 * A world in which debounce is at work: instances that share what is held, with the clock, the order in which answers
 * come, lost answers and crashes all decided by one seed.
 */
import type { Outcome } from '../../../src/core/plan.ts';
import type { Run } from '../../../src/core/run.ts';
import { type Alarm, Debounce, ring } from '../../../src/flow/debounce.ts';
import type { Held, HeldEvents, Holding, Identity } from '../../../src/flow/held.ts';
import { Cell } from '../../../src/telemetry/cells.ts';

export interface WorldOptions {
  readonly seed: number;
  readonly instances: number;
  readonly keys: number;
  readonly events: number;
  /** Milliseconds. */
  readonly quiet: number;
  readonly atMost: number | undefined;
  /** How likely each of these is whenever something happens. */
  readonly crash: number;
  readonly lostAnswer: number;
}

export interface Arrival extends Identity {
  readonly key: string;
}

/** One thing that became of an event. */
interface End {
  readonly event: number;
  readonly how: 'went on' | 'superseded';
  readonly at: number;
}

const REDELIVERED = 30_000;
const REMEMBERED = 600_000;
const SUPERSEDED: Outcome = { kind: 'dropped', reason: 'superseded', counter: new Cell() };

/** Numbers from 0 to 1 that depend on nothing but the seed (mulberry32). */
function randomBy(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const keyOf = ({ sequence }: Identity, keys: number): string => `k${sequence % keys}`;

export class World {
  now = 1_000_000;
  readonly ends: End[] = [];
  /** When each place was first held in its burst, and when what was held there was released. */
  readonly released: { readonly event: number; readonly first: number; readonly at: number }[] = [];
  readonly #options: WorldOptions;
  readonly #random: () => number;
  readonly #held = new Map<string, Held>();
  readonly #handedOver = new Set<number>();
  #revision = 0;
  #alarmIds = new Set<string>();
  /** What goes on when it is chosen, and whose it is. */
  #steps: { readonly instance: number; readonly go: () => void }[] = [];
  /** What happens at an instant. */
  #later: { readonly at: number; readonly what: () => void }[] = [];
  /** The present life of each instance: what an earlier one began never goes on. */
  readonly #instances: Instance[];
  readonly #unanswered = new Map<number, number>();

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#random = randomBy(options.seed);
    this.#instances = Array.from({ length: options.instances }, (_, number) => this.#begin(number));
    let at = this.now;
    for (let sequence = 1; sequence <= options.events; sequence++) {
      at += Math.floor(this.#random() ** 3 * options.quiet * 1.5);
      const event = {
        sequence,
        milliseconds: at,
        nanoseconds: 0,
        key: keyOf({ sequence, milliseconds: 0, nanoseconds: 0 }, options.keys),
      };
      // Another instance may be late with it.
      const slow = this.#random() < 0.1 ? Math.floor(this.#random() * options.quiet * 2) : 0;
      this.#at(at + slow, () => this.#deliver(event, 1));
    }
  }

  /** Lets all happen until nothing is left to. */
  async run(): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#steps.length > 0 && this.#random() < this.#options.crash) this.#crash();
      else if (this.#steps.length > 0) {
        const [step] = this.#steps.splice(Math.floor(this.#random() * this.#steps.length), 1);
        this.now += Math.floor(this.#random() * 20);
        this.#due();
        step?.go();
      } else if (this.#later.length > 0) {
        this.now = Math.max(this.now, Math.min(...this.#later.map(({ at }) => at)));
        this.#due();
      } else return;
    }
  }

  /** Places in which something still waits. */
  get waiting(): string[] {
    return [...this.#held].filter(([, { state }]) => state !== 'gone').map(([place]) => place);
  }

  /** Events that nobody has answered for. */
  get unanswered(): number[] {
    return [...this.#unanswered.keys()];
  }

  #at(at: number, what: () => void): void {
    this.#later.push({ at, what });
  }

  #due(): void {
    const due = this.#later.filter(({ at }) => at <= this.now).toSorted((a, b) => a.at - b.at);
    this.#later = this.#later.filter(({ at }) => at > this.now);
    for (const { what } of due) what();
  }

  #begin(number: number): Instance {
    return new Instance(number, this.#ports(number), this.#options, () => this.now);
  }

  /** An instance dies: what it had begun is cut off, and what it had not answered for comes again. */
  #crash(): void {
    const number = Math.floor(this.#random() * this.#instances.length);
    this.#steps = this.#steps.filter(({ instance }) => instance !== number);
    const { open, alarms } = this.#instances[number] as Instance;
    this.#instances[number] = this.#begin(number);
    for (const { event, deliveries } of open)
      this.#at(this.now + REDELIVERED, () => this.#deliver(event, deliveries + 1));
    for (const alarm of alarms) this.#at(this.now + REDELIVERED, () => this.#ring(alarm));
  }

  #someInstance(): Instance {
    return this.#instances[Math.floor(this.#random() * this.#instances.length)] as Instance;
  }

  #deliver(event: Arrival, deliveries: number): void {
    this.#unanswered.set(event.sequence, deliveries);
    this.#someInstance().take(event, deliveries, {
      answered: () => this.#unanswered.delete(event.sequence),
      ended: (sequence) => this.ends.push({ event: sequence, how: 'superseded', at: this.now }),
    });
  }

  #ring(alarm: Alarm): void {
    this.#someInstance().ring(alarm, REMEMBERED, () => this.now);
  }

  #ports(instance: number): HeldEvents {
    const step = (): Promise<void> =>
      new Promise((resolve) => {
        this.#steps.push({ instance, go: resolve });
      });
    // The request takes its time, then the answer; either may be lost with its connection.
    const asked = async <T>(work: () => T): Promise<T> => {
      await step();
      const answer = work();
      await step();
      if (this.#random() < this.#options.lostAnswer) throw new Error('nobody knows');
      return answer;
    };
    const store = (place: string, expected: number, made: Omit<Held, 'revision'>): number | undefined => {
      if ((this.#held.get(place)?.revision ?? 0) !== expected) return undefined;
      this.#held.set(place, { ...made, revision: ++this.#revision });
      return this.#revision;
    };
    const heldOf = ({ event, id }: Run, holding: Holding): Omit<Held, 'revision'> => ({
      ...holding,
      handover: {
        stream: 'IN',
        subject: '',
        position: event.position,
        headers: undefined,
        run: id,
        record: undefined,
        routes: undefined,
        letter: undefined,
        bodyName: undefined,
      },
      body: new Uint8Array(0),
      state: 'waits',
    });
    return {
      placeOf: (_run, key) => key ?? 'none',
      get: (place) => asked(() => this.#held.get(place)),
      put: (place, run, _key, holding, expected) =>
        asked(() => {
          const made = heldOf(run, holding);
          const revision = store(place, expected, made);
          return revision === undefined ? undefined : { ...made, revision };
        }),
      release: (place, { revision, ...held }) =>
        asked(() => {
          const released = store(place, revision, { ...held, state: 'released' });
          if (released !== undefined)
            this.released.push({ event: held.handover.position.sequence, first: held.first, at: this.now });
          return released;
        }),
      handOver: ({ handover: { position } }) =>
        asked(() => {
          if (this.#handedOver.has(position.sequence)) return;
          this.#handedOver.add(position.sequence);
          this.ends.push({ event: position.sequence, how: 'went on', at: this.now });
        }),
      leave: (place, { revision: _, ...held }, revision) =>
        asked(() => void store(place, revision, { ...held, state: 'gone' })),
      alarm: (place, at, id = `own-${this.#random()}`) =>
        asked(() => {
          if (this.#alarmIds.has(id)) return;
          this.#alarmIds.add(id);
          this.#at(Math.max(at, this.now), () => this.#ring({ place, at, id: `of-${id}` }));
        }),
      open: ({ handover: { position } }) => asked(() => ({ position }) as unknown as Run['event']),
      find: (_stream, position) => asked(() => ({ position }) as unknown as Run['event']),
    };
  }
}

interface Answers {
  readonly answered: () => void;
  readonly ended: (sequence: number) => void;
}

/** One life of one process. */
class Instance {
  readonly open: { readonly event: Arrival; readonly deliveries: number }[] = [];
  readonly alarms: Alarm[] = [];
  readonly #number: number;
  readonly #held: HeldEvents;
  readonly #debounce: Debounce;

  constructor(number: number, held: HeldEvents, { quiet, atMost, keys }: WorldOptions, now: () => number) {
    this.#number = number;
    this.#held = held;
    this.#debounce = new Debounce({
      held,
      quiet,
      atMost,
      now,
      keyOf: (scope) => keyOf((scope as unknown as Run).event.position, keys),
      superseded: SUPERSEDED,
    });
  }

  take(event: Arrival, deliveries: number, { answered, ended }: Answers): void {
    const entry = { event, deliveries };
    this.open.push(entry);
    const settle = {
      hold: (_run: Run, store: (done: (error?: Error, outcome?: Outcome) => void) => void): void => {
        const done = (error?: Error, outcome?: Outcome): void => {
          if (error !== undefined) return store(done);
          if (outcome !== undefined) ended(event.sequence);
          this.open.splice(this.open.indexOf(entry), 1);
          answered();
        };
        store(done);
      },
    };
    const endElsewhere = (other: Run['event']): Promise<void> => {
      ended(other.position.sequence);
      return Promise.resolve();
    };
    const run = {
      id: '',
      handed: undefined,
      event: { stream: 'IN', position: { ...event, deliveries } },
      consumer: { name: `instance ${this.#number}`, settle, endElsewhere },
    };
    this.#debounce.step.run(run as unknown as Run);
  }

  ring(alarm: Alarm, remembered: number, now: () => number): void {
    this.alarms.push(alarm);
    ring(this.#held, alarm, remembered, now).then(
      () => void this.alarms.splice(this.alarms.indexOf(alarm), 1),
      // It is not acked, and comes again.
      () => this.ring(alarm, remembered, now),
    );
  }
}
