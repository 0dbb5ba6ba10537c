/**
 * How often each address may be wrong. It keeps a flood of wrong credentials out of the log, the audit and the issuer's
 * way. It does not keep out who has the right ones, so that nobody can lock others out who share an address (a proxy, a
 * NAT): a token has 256 bits, and no number of attempts would find it.
 */

interface Bucket {
  tokens: number;
  at: number;
}

export interface AttemptLimits {
  /** So many at once. */
  readonly burst: number;
  /** Milliseconds until one more is free. */
  readonly every: number;
  /** Addresses that are remembered; the one that was seen first is forgotten for another. */
  readonly addresses: number;
}

export class Attempts {
  readonly #limits: AttemptLimits;
  readonly #buckets = new Map<string, Bucket>();

  constructor(limits: AttemptLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /**
   * Counts one.
   *
   * @param now Milliseconds of a clock that never goes back.
   * @returns Milliseconds until it would be allowed; 0 when it is.
   */
  take(address: string, now: number): number {
    const { burst, every, addresses } = this.#limits;
    const key = networkOf(address);
    const known = this.#buckets.get(key);
    const bucket = known ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + (now - bucket.at) / every);
    bucket.at = now;
    // Again at the end of the map: the first in it is who was quiet for longest.
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > addresses) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    if (bucket.tokens < 1) return Math.ceil((1 - bucket.tokens) * every);
    bucket.tokens--;
    return 0;
  }
}

/** An IPv6 address is one of 2^64 that its owner has: the first half tells owners apart. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address;
  const [head = '', tail] = address.replace(/%.*$/s, '').split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - rest.length);
  return [...groups, ...Array<string>(zeros).fill('0'), ...rest].slice(0, 4).join(':');
}
