/** Random numbers that a seed repeats: each concern has a stream of its own, so that one does not shift another. */
import { createHash } from 'node:crypto';

export interface Random {
  /** 0 to 1, without 1. */
  next(): number;
  /** A whole number from `low` to `high`, both included. */
  integer(low: number, high: number): number;
  pick<T>(from: readonly T[]): T;
  shuffled<T>(from: readonly T[]): T[];
}

/** The stream of one concern: the same seed and name always give the same numbers. */
export function randomOf(seed: number, concern: string): Random {
  let state = createHash('sha256').update(`${seed}/${concern}`).digest().readUInt32LE(0);
  // mulberry32: 32 bits of state are enough to plan faults with.
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    integer,
    pick: (from) => from[integer(0, from.length - 1)] as (typeof from)[number],
    shuffled: (from) => {
      const rest = [...from];
      for (let last = rest.length - 1; last > 0; last--) {
        const other = integer(0, last);
        [rest[last], rest[other]] = [rest[other] as (typeof rest)[number], rest[last] as (typeof rest)[number]];
      }
      return rest;
    },
  };
}
