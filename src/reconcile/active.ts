/**
 * Whether this instance is the active one of a consumer that runs on one instance at a time, and how it becomes so.
 *
 * An instance that the server has pinned takes over what another one left behind before it begins anything: it waits
 * until it has in hand all that the server has handed out and heard no answer of. Those events stand in order then, and
 * none that is missing can come behind a later one of its key. The same is done whenever events may have been lost on
 * the way: after a reconnect, and when the process stood still.
 *
 * The server pins nobody until it has an event to hand out. What waits elsewhere meanwhile (events that are due, and
 * keys with something stored) is handled by the instance that has the lease (`nats/lease.ts`). It takes over in the same
 * way, and makes way as soon as somebody is pinned, who waits for that.
 */
import type { ConsumerInfo } from '@nats-io/jetstream';
import type { Consumer } from '../core/consumer.ts';
import type { Lanes } from '../flow/order.ts';
import { type ActiveHolder, pinnedId } from '../nats/active.ts';
import { Lease, type LeaseOptions } from '../nats/lease.ts';
import { FENCE, Pin, type PinOptions } from '../nats/pin.ts';
import type { Logger } from '../telemetry/log.ts';

/** Milliseconds between looks at what is waited for: what is out, and what has to end. */
const LOOK = 100;
/** Milliseconds after which a lease is given back for which nothing waits. */
const UNUSED = 60_000;

export interface ActiveOptions
  extends
    Pick<PinOptions, 'connection' | 'wire' | 'stream' | 'durable' | 'domain'>,
    Pick<LeaseOptions, 'publisher' | 'manager' | 'instance'> {
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

/** `standby`: another instance is active, or nobody is yet. `taking`: pinned or with the lease, and waiting for what is out. */
export type ActivePhase = 'standby' | 'taking' | 'active';

export class ActiveInstance {
  readonly pin: Pin;
  readonly #lease: Lease;
  /** Whether the consumer takes events at all now. */
  #taking = false;
  #tending = false;
  /** Whether something waits elsewhere than in the stream. */
  #waiting = false;
  /** When something waited there last, by the monotonic clock. */
  #waitedAt = 0;
  /** Since when nobody was pinned, by the monotonic clock, as far as was seen; undefined: somebody is, or nobody looked. */
  #unpinnedSince: number | undefined;
  readonly #options: ActiveOptions;
  #phase: ActivePhase = 'standby';
  /** Of each take-over one; what an earlier one waits for does not matter any more. */
  #number = 0;
  #waitsFor = 0;
  #elsewhere = false;
  #seenPin: string | undefined;
  #holder: ActiveHolder | undefined;

  constructor(options: ActiveOptions) {
    const { connection, wire, stream, durable, domain, lanes, consumer } = options;
    this.#options = options;
    const onConfirmed = (at: number): void => {
      if (this.#phase === 'active') lanes.open(at + FENCE);
    };
    this.#lease = new Lease({ ...options, consumer: consumer.name, onConfirmed, onLost: () => this.#lost() });
    this.pin = new Pin({
      connection,
      wire,
      stream,
      durable,
      domain,
      onPinned: () => {
        this.#lease.drop();
        this.#takeOver(true);
      },
      onLost: () => this.#lost(),
      onConfirmed,
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
    if (pin !== undefined) this.#unpinnedSince = undefined;
    else {
      this.#unpinnedSince ??= performance.now();
      if (this.#waiting) return this.#seeLease();
    }
    if (pin === this.#seenPin && (pin === undefined || this.#holder !== undefined)) return;
    this.#seenPin = pin;
    this.#holder = await this.#options.holder(pin);
  }

  async #seeLease(): Promise<void> {
    const holder = await this.#lease.holder();
    this.#elsewhere = holder?.own === false;
    this.#seenPin = undefined;
    this.#holder = holder && { instance: holder.instance, since: holder.since };
  }

  /**
   * Lets the keys go on whose dead letters are gone, and sees to it that somebody is active while something waits. To be
   * called every second or so.
   *
   * @param waiting Whether something waits elsewhere than in the stream.
   */
  async tend(waiting: boolean): Promise<void> {
    this.#waiting = waiting;
    if (waiting) this.#waitedAt = performance.now();
    if (this.#tending) return;
    this.#tending = true;
    try {
      if (this.#phase === 'standby') await this.#lead();
      if (this.#phase !== 'active') return;
      if (this.#lease.held) await this.#makeWay();
      await this.#options.lanes.backlog?.releaseHeld();
    } finally {
      this.#tending = false;
    }
  }

  /** Takes the lease, where nobody is pinned, nobody will be, and something waits. */
  async #lead(): Promise<void> {
    if (!this.#waiting || !this.#taking || this.pin.id !== undefined) return;
    // A pin that the server forgot is believed in for so long.
    if (this.#unpinnedSince === undefined || performance.now() - this.#unpinnedSince < FENCE) return;
    const info = await this.#options.inspect();
    if (info === undefined || info.num_pending + info.num_ack_pending > 0) return;
    await this.seen(info);
    if (pinnedId(info) !== undefined || !(await this.#lease.take())) return;
    if (this.#taking && this.#phase === 'standby') this.#takeOver(true);
    else this.#lease.drop();
  }

  /** Lets go of the lease when somebody is pinned, or nothing waits any more. */
  async #makeWay(): Promise<void> {
    const info = await this.#options.inspect();
    if (info === undefined || !this.#lease.held) return;
    const pin = pinnedId(info);
    if (pin !== undefined && pin !== this.pin.id) await this.#yield(true);
    else if (performance.now() - this.#waitedAt > UNUSED) await this.#yield(false);
  }

  /** @param elsewhere Whether another instance is active then. It waits for what has begun here. */
  async #yield(elsewhere: boolean): Promise<void> {
    if (elsewhere) this.#lost();
    else this.#letGo();
    // Whoever is pinned here meanwhile, or has lost the lease, has nobody who waits for him.
    await this.#untilOthersEnd(() => !this.#lease.held);
    this.#lease.drop();
  }

  /** The consumer pulls, for the first time or again. */
  resumed(): void {
    this.#taking = true;
    if (this.pin.id === undefined) return;
    this.pin.keepAlive();
    this.#takeOver(false);
  }

  /** Begins nothing more: the connection is gone, or the consumer drains. What has begun goes on. */
  halt(): void {
    this.#taking = false;
    this.#lease.forget();
    this.#rest();
  }

  /** The durable was made anew, or somebody paused the consumer: the pin goes, and what is out is nobody's. */
  async release(): Promise<void> {
    this.#taking = false;
    this.#rest();
    this.#options.lanes.forgetOut();
    this.#lease.drop();
    await this.pin.unpin();
  }

  /**
   * The consumer drains, and another instance is to be active at once. Of what has begun, the server keeps the events of
   * the stream from it; others it would begin at once, so that they end before.
   *
   * @param deadline Resolves when there is no more time.
   */
  async giveUp(deadline: Promise<void>): Promise<void> {
    this.#taking = false;
    this.#rest();
    let over = false;
    const end = (): void => void (over = true);
    deadline.then(end, end);
    await this.#untilOthersEnd(() => over);
    await this.release();
  }

  /** Waits for what has begun and is none of the stream's, or until that is over. */
  async #untilOthersEnd(isOver: () => boolean): Promise<void> {
    const { consumer } = this.#options;
    const others = (): boolean => consumer.runs().some(({ handed, started }) => handed !== undefined && started);
    while (others() && !isOver()) await sleep(LOOK);
  }

  close(): void {
    this.#taking = false;
    this.#rest();
    this.#lease.drop();
    this.pin.close();
  }

  #rest(): void {
    this.#number++;
    this.#phase = 'standby';
    this.#options.consumer.catchingUp = false;
    this.#options.lanes.close();
  }

  #lost(): void {
    const { consumer, logger } = this.#options;
    this.#elsewhere = true;
    this.#letGo();
    logger.info({ consumer: consumer.name }, 'another instance is active from now on');
  }

  #letGo(): void {
    const { consumer, lanes, takeDue, bound, limit } = this.#options;
    this.#rest();
    takeDue(false);
    consumer.giveBackUnstarted(0);
    lanes.forgetOut();
    limit();
    bound();
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

  /** When it was last known that no other instance is active, by the monotonic clock. */
  get #confirmedAt(): number {
    return Math.max(this.pin.confirmedAt, this.#lease.confirmedAt);
  }

  /** @returns Whether all is in hand; false when something else came up. */
  async #waitForAll(fresh: boolean, number: number): Promise<boolean> {
    const { lanes, inspect, bound } = this.#options;
    let known = !fresh;
    while (number === this.#number) {
      const { ended } = lanes;
      known ||= await lanes.takeStock();
      const isAlone = this.#lease.held || (await this.#isUnled());
      const info = await inspect().catch(() => undefined);
      if (number !== this.#number) break;
      const missing = info === undefined ? undefined : this.#missing(info, fresh);
      const settled = lanes.ended === ended && this.#confirmedAt > 0;
      if (missing === 0 && settled && known && isAlone) {
        this.#begin();
        return true;
      }
      this.#waitsFor = missing ?? 0;
      if (missing !== undefined) bound(missing);
      await sleep(LOOK);
    }
    return false;
  }

  /** Whether no other instance has the lease. */
  #isUnled(): Promise<boolean> {
    return this.#lease.holder().then(
      (holder) => holder?.own !== false,
      () => false,
    );
  }

  #begin(): void {
    const { consumer, lanes, limit, bound, takeDue } = this.#options;
    this.#phase = 'active';
    this.#waitsFor = 0;
    consumer.catchingUp = false;
    limit();
    lanes.open(this.#confirmedAt + FENCE);
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
      if (this.#lease.held) this.#yield(true).catch(() => undefined);
      else this.pin.refused();
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

const sleep = async (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref();
  });
