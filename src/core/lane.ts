/** A part of a consumer's events, which comes by a durable of its own and has a share of what the consumer does. */
import type { Consumer } from './consumer.ts';

export class Lane {
  readonly name: string;
  /** Its share of admission against those of the other lanes, from now on. */
  weight: number;
  /** Its share of the consumer's prefetch: events in hand, at most. */
  prefetch: number;
  /** Events and bytes in hand that came by its durable. */
  held = 0;
  heldBytes = 0;
  readonly #consumer: Pick<Consumer, 'room' | 'limits'>;

  constructor(name: string, weight: number, prefetch: number, consumer: Pick<Consumer, 'room' | 'limits'>) {
    this.name = name;
    this.weight = weight;
    this.prefetch = prefetch;
    this.#consumer = consumer;
  }

  /** How many events of it may be in hand now. */
  get room(): number {
    return Math.min(this.prefetch, this.#consumer.room);
  }

  /** The part of the consumer's room that is its own, above 0 and at most 1. */
  get share(): number {
    return Math.min(1, this.prefetch / this.#consumer.limits.prefetch);
  }
}

/** The name of the lane that takes what is in no other, where none is written without subjects. */
export const REST = 'rest';

/** The durable of a lane with subjects. The lane that takes the rest has the consumer's own. */
export const laneDurable = (consumer: string, lane: string): string => `${consumer}-${lane}`;
