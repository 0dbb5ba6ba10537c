/**
 * The limits of a daemon, by their names. One that the plans of several consumers share, or that of the plan before and
 * of the next, is the same limit: a reload resets none that did not change. It goes with the last plan that has it.
 */
import type { Rate } from './gcra.ts';
import { FleetQuota, LocalQuota, type Quota, type SharedStandings } from './quota.ts';
import { RateLimit } from './rate-limit.ts';
import { Throttle } from './throttle.ts';

/** What makes a limit what it is. */
export interface LimitSpec {
  /** The same on all instances, and fit for subjects: `throttle.billing`. */
  readonly name: string;
  readonly rate: Rate;
  readonly scope: 'fleet' | 'instance';
  /** What it tells events apart by; another expression makes it another limit. */
  readonly by: string;
}

/** A limit in use. */
export interface Held<T> {
  readonly limit: T;
  /** To be called once, by a plan that has it no more. */
  release(): void;
}

export interface LimitsPorts {
  readonly shared: SharedStandings;
  /** What all instances share could not be reached: who has to ask waits. */
  readonly onTrouble: (limit: string, error: Error) => void;
}

export class Limits {
  readonly #ports: LimitsPorts;
  readonly #inUse = new Map<string, { readonly limit: object; holders: number }>();

  constructor(ports: LimitsPorts) {
    this.#ports = ports;
  }

  throttle(spec: LimitSpec): Held<Throttle> {
    return this.#hold(`throttle ${identity(spec)}`, () => new Throttle(this.#quota(spec)));
  }

  rateLimit(spec: LimitSpec): Held<RateLimit> {
    return this.#hold(`rate_limit ${identity(spec)}`, () => new RateLimit(this.#quota(spec)));
  }

  #quota({ name, rate, scope }: LimitSpec): Quota {
    if (scope === 'instance') return new LocalQuota(rate);
    return new FleetQuota(name, rate, this.#ports.shared, (error) => this.#ports.onTrouble(name, error));
  }

  #hold<T extends object>(key: string, make: () => T): Held<T> {
    const entry = this.#inUse.get(key) ?? { limit: make(), holders: 0 };
    this.#inUse.set(key, entry);
    entry.holders++;
    return {
      limit: entry.limit as T,
      release: () => {
        entry.holders--;
        if (entry.holders === 0) this.#inUse.delete(key);
      },
    };
  }
}

const identity = ({ name, rate, scope, by }: LimitSpec): string =>
  JSON.stringify([name, rate.interval, rate.burst, scope, by]);
