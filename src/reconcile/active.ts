/**
 * Whether this instance is the active one of a consumer that runs on one instance at a time, and how it becomes so.
 *
 * An instance that the server has pinned takes over what another one left behind before it begins anything: it waits
 * until it has in hand all that the server has handed out and heard no answer of. Those events stand in order then, and
 * none that is missing can come behind a later one of its key. The same is done whenever events may have been lost on
 * the way: after a reconnect, and when the process stood still.
 */
import type { ConsumerInfo } from '@nats-io/jetstream';
import type { Consumer } from '../core/consumer.ts';
import type { Lanes } from '../flow/order.ts';
import { type ActiveHolder, pinnedId } from '../nats/active.ts';
import { FENCE, Pin, type PinOptions } from '../nats/pin.ts';
import type { Logger } from '../telemetry/log.ts';

/** Milliseconds between questions to the server while it is waited for what is out. */
const LOOK = 250;

export interface ActiveOptions extends Pick<PinOptions, 'connection' | 'wire' | 'stream' | 'durable' | 'domain'> {
  readonly consumer: Consumer;
  readonly lanes: Lanes;
  /** Bounds the events on their way; without a number there is no bound. */
  readonly bound: (most?: number) => void;
  /** What the server says of the durable; undefined where it says nothing. */
  readonly inspect: () => Promise<ConsumerInfo | undefined>;
  /** Takes what is due too, or takes none of it any more. */
  readonly takeDue: (taking: boolean) => void;
  /** Puts the limits of the configuration in force again. */
  readonly limit: () => void;
  /** Writes down that this instance has this pin. */
  readonly note: (pin: string) => void;
  /** Who has this pin, as far as he wrote it down. */
  readonly holder: (pin: string | undefined) => Promise<ActiveHolder | undefined>;
  readonly logger: Logger;
}

/** `standby`: another instance is active, or nobody is yet. `taking`: pinned, and waiting for what is out. */
export type ActivePhase = 'standby' | 'taking' | 'active';

export class ActiveInstance {
  readonly pin: Pin;
  readonly #options: ActiveOptions;
  #phase: ActivePhase = 'standby';
  /** Of each take-over one; what an earlier one waits for does not matter any more. */
  #number = 0;
  #waitsFor = 0;
  #elsewhere = false;
  #seenPin: string | undefined;
  #holder: ActiveHolder | undefined;

  constructor(options: ActiveOptions) {
    const { connection, wire, stream, durable, domain, lanes } = options;
    this.#options = options;
    this.pin = new Pin({
      connection,
      wire,
      stream,
      durable,
      domain,
      onPinned: () => this.#takeOver(true),
      onLost: () => this.#lost(),
      onConfirmed: (at) => {
        if (this.#phase === 'active') lanes.open(at + FENCE);
      },
    });
    lanes.onMissed = () => {
      if (this.#phase === 'active') this.#takeOver(false);
    };
  }

  get phase(): ActivePhase {
    return this.#phase;
  }

  /** Whether it takes no part now: another instance is active, or this one takes over. */
  get waits(): boolean {
    return this.#phase === 'taking' || (this.#phase === 'standby' && this.#elsewhere);
  }

  /** Why it is not at work; empty when it is, or would be with the next event. */
  get reason(): string {
    if (this.#phase === 'standby') return this.#elsewhere ? 'another instance is active' : '';
    if (this.#phase === 'active') return '';
    return this.#waitsFor === 0
      ? 'it takes over'
      : `it takes over, and waits for ${this.#waitsFor} events that were handed out before`;
  }

  /** The instance that was active when the durable was looked at last; undefined for none, or one without a name. */
  get holder(): ActiveHolder | undefined {
    return this.#holder;
  }

  /** What a look at the durable tells of whose the pin is. */
  async seen(info: ConsumerInfo): Promise<void> {
    const pin = pinnedId(info);
    this.#elsewhere = (pin ?? this.pin.id) !== this.pin.id;
    if (pin === this.#seenPin && (pin === undefined || this.#holder !== undefined)) return;
    this.#seenPin = pin;
    this.#holder = await this.#options.holder(pin);
  }

  /** The consumer pulls, for the first time or again. */
  resumed(): void {
    if (this.pin.id === undefined) return;
    this.pin.keepAlive();
    this.#takeOver(false);
  }

  /** Begins nothing more: the connection is gone, or the consumer drains. What has begun goes on. */
  halt(): void {
    this.#rest();
  }

  /** The durable was made anew, or somebody paused the consumer: the pin goes, and what is out is nobody's. */
  async release(): Promise<void> {
    this.#rest();
    this.#options.lanes.forgetOut();
    await this.pin.unpin();
  }

  close(): void {
    this.#rest();
    this.pin.close();
  }

  #rest(): void {
    this.#number++;
    this.#phase = 'standby';
    this.#options.consumer.catchingUp = false;
    this.#options.lanes.close();
  }

  #lost(): void {
    const { consumer, lanes, logger, takeDue, bound, limit } = this.#options;
    this.#rest();
    this.#elsewhere = true;
    takeDue(false);
    consumer.giveBackUnstarted(0);
    lanes.forgetOut();
    limit();
    bound();
    logger.info({ consumer: consumer.name }, 'another instance is active from now on');
  }

  /** @param fresh Whether another instance may have had events in hand. */
  #takeOver(fresh: boolean): void {
    const { consumer, lanes, logger } = this.#options;
    this.#rest();
    this.#phase = 'taking';
    this.#elsewhere = false;
    consumer.catchingUp = true;
    if (fresh) lanes.forgetOut();
    this.#waitForAll(fresh, this.#number)
      .then((whole) => {
        if (!whole || !fresh) return;
        if (this.pin.id !== undefined) this.#options.note(this.pin.id);
        logger.info({ consumer: consumer.name }, 'this instance is active from now on');
      })
      .catch((error: unknown) => logger.error({ consumer: consumer.name, error: String(error) }, 'cannot take over'));
  }

  /** @returns Whether all is in hand; false when something else came up. */
  async #waitForAll(fresh: boolean, number: number): Promise<boolean> {
    const { lanes, inspect, bound } = this.#options;
    let known = !fresh;
    while (number === this.#number) {
      const { ended } = lanes;
      known ||= await lanes.takeStock();
      const info = await inspect().catch(() => undefined);
      if (number !== this.#number) break;
      const missing = info === undefined ? undefined : this.#missing(info, fresh);
      const settled = lanes.ended === ended && this.pin.confirmedAt > 0;
      if (missing === 0 && settled && known) {
        this.#begin();
        return true;
      }
      this.#waitsFor = missing ?? 0;
      if (missing !== undefined) bound(missing);
      await new Promise((resolve) => setTimeout(resolve, LOOK).unref());
    }
    return false;
  }

  #begin(): void {
    const { consumer, lanes, limit, bound, takeDue } = this.#options;
    this.#phase = 'active';
    this.#waitsFor = 0;
    consumer.catchingUp = false;
    limit();
    lanes.open(this.pin.confirmedAt + FENCE);
    bound();
    takeDue(true);
  }

  /**
   * How many events the server has handed out and heard no answer of that are not in hand here; undefined while that
   * cannot be told. What it hands out meanwhile is above `delivered`, and does not count.
   */
  #missing(info: ConsumerInfo, fresh: boolean): number | undefined {
    const { consumer, lanes } = this.#options;
    const pinned = pinnedId(info);
    if (pinned !== undefined && pinned !== this.pin.id) {
      this.pin.refused();
      return undefined;
    }
    // What this instance began when it was active before may be another's by now: it is waited for.
    if (fresh && lanes.begun > 0) return undefined;
    const { num_ack_pending: pending, delivered } = info;
    const { prefetch, ackWait } = consumer.limits;
    if (pending > prefetch) consumer.limits = { prefetch: pending, ackWait };
    let inHand = 0;
    for (const run of consumer.runs()) {
      if (run.handed !== undefined) continue;
      // It is looked up, and has not taken its place yet.
      if (run.place === undefined) return undefined;
      if (run.sequence <= delivered.stream_seq) inHand++;
    }
    return Math.max(0, pending - inHand - lanes.out.ofStream);
  }
}
