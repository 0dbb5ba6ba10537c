/**
 * Events that go on together behind `group`. The first of them leads: it passes the stages that follow for all, and the
 * others wait in hand for what it comes to. With the deliveries they come apart again: each has its own outcome.
 */
import type { Route } from '../deliver/route.ts';
import type { OuzelError } from '../errors.ts';
import type { Outcome } from './plan.ts';
import type { Run } from './run.ts';

/**
 * `collecting`: more may come. `noting`: it is full, and is noted as begun for those of which something is known.
 * `together`: the first goes on for all. `apart`: each hears of its own deliveries.
 */
export type BatchState = 'collecting' | 'noting' | 'together' | 'apart';

export class Batch {
  /** What they were collected by, as JSON; null: it was not there. */
  readonly key: unknown;
  /** In the order in which they came. */
  members: readonly Run[];
  state: BatchState;
  /** 0 to 1: where the delays of its events vary at random, they vary alike, so that they come again together. */
  readonly chance = Math.random();

  constructor(key: unknown, members: readonly Run[], state: BatchState = 'apart') {
    this.key = key;
    this.members = members;
    this.state = state;
  }

  get isTogether(): boolean {
    return this.state === 'together';
  }

  /**
   * By which its events find each other when they are tried again: the first one's sequence, and how many they are.
   * No two batches that are under way have the same.
   */
  get mark(): string {
    return markOf(this.members);
  }

  /** The mark of the half that an event is in. */
  halfMark(run: Run): string {
    const middle = Math.ceil(this.members.length / 2);
    const half = this.members.indexOf(run) < middle ? this.members.slice(0, middle) : this.members.slice(middle);
    return markOf(half);
  }

  /** All of it ends here. */
  end(outcome: Outcome): void {
    this.state = 'apart';
    for (const member of this.members) member.consumer.settle.outcome(member, outcome);
  }

  /** All of it fails here. */
  fail(error: OuzelError, route: Route | undefined): void {
    this.state = 'apart';
    for (const member of this.members) member.fail(error, route);
  }
}

const markOf = (members: readonly Run[]): string => `${members[0]?.sequence.toString(36) ?? ''}.${members.length}`;

/** How many events a mark stands for; 0 for what is none. */
export const sizeOfMark = (mark: string): number => Number(/\.(\d+)$/.exec(mark)?.[1] ?? 0);

/** The batch in which an event failed: the part of it that a route's delivery came down to. Undefined: it was alone. */
export function batchThatFailed(run: Run, route: Route | undefined): Batch | undefined {
  if (run.deliveries === undefined) return run.batch;
  return run.deliveries.find((delivery) => delivery.route === route)?.batch;
}
