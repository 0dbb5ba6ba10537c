/**
 * The lanes of a consumer: durables beside its own, each with a share of what it has in hand. The consumer's own durable
 * goes on bringing all that the consumer takes; what belongs to a lane is let go there, since the lane's durable brings
 * it too. So nothing on the server has to change in the same moment when lanes come and go.
 *
 * - A lane that is new starts where the consumer's own durable has its first event without an outcome, so that what is
 *   of it in a backlog is taken out of there too.
 * - A lane that leaves is given notice: it keeps the events that are stored until an instant that all instances know
 *   before it comes. Later ones go the way that the configuration says. Its durable is deleted when it and the
 *   consumer's own are past that instant.
 */
import { performance } from 'node:perf_hooks';
import type { ConsumerInfo } from '@nats-io/jetstream';
import { type Carrier, Event, type Position } from '../core/event.ts';
import { Lane } from '../core/lane.ts';
import { asOuzelError } from '../errors.ts';
import { LaneTable, shareOut } from '../flow/lane-table.ts';
import { isSettledUpTo, type LaneState, laneState, noteLeaving, serverTime } from '../nats/lane-durables.ts';
import { deleteDurable, type DurableSpec, ensureDurable, findDurable, findStream } from '../nats/provision.ts';
import { Pull } from '../nats/pull.ts';
import type { Blueprint } from './build.ts';
import { durablesMade, type FoundLane, provisionLanes, unmakeLanes } from './lane-provision.ts';
import type { RuntimeOptions } from './runtime.ts';

/** Milliseconds for which it may be relied on what the server said of the lanes; less than the notice that is given. */
const FRESH = 45_000;
/** Milliseconds before a lane that cannot be made ready is tried again. */
const AGAIN = 2_000;

export interface LaneOptions extends Omit<RuntimeOptions, 'blueprint' | 'bodies'> {
  /** Of the consumer as it is configured now. */
  readonly blueprint: () => Blueprint;
}

/** A lane as it runs. */
interface Feed {
  readonly spec: DurableSpec;
  readonly lane: Lane;
  readonly pull: Pull;
  state: LaneState;
  leaving: boolean;
  /** The last event of the stream when its time was over: what comes up to there is its own. */
  last: number | undefined;
}

/** The names of all lanes that there are, and the durables that were made. */
interface Ready {
  readonly names: readonly string[];
  readonly made: readonly string[];
}

/** What one lane does and has, for people. */
export interface LaneShown {
  readonly name: string;
  readonly durable: string;
  readonly weight: number;
  readonly prefetch: number;
  readonly held: number;
  readonly leaving: boolean;
}

export class LaneFeeds {
  readonly #options: LaneOptions;
  readonly #feeds = new Map<string, Feed>();
  /** What was found on the server for the blueprint that is, or is to be, in force. */
  #found = new Map<string, FoundLane>();
  #table: LaneTable | undefined;
  #rest: Lane | undefined;
  #turn: Promise<void> = Promise.resolve();
  #taking = false;
  #stopped = false;
  #askedAt = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** The lane of what comes by the consumer's own durable; undefined while there are no lanes. */
  get rest(): Lane | undefined {
    return this.#rest;
  }

  /** The durables of the lanes. */
  get durables(): readonly string[] {
    return [...this.#feeds.values()].map(({ spec }) => spec.name);
  }

  /** Whether what is known of the lanes may be relied on. */
  get isFresh(): boolean {
    return this.#feeds.size === 0 || performance.now() - this.#askedAt < FRESH;
  }

  get shown(): readonly LaneShown[] {
    const of = ({ name, weight, prefetch, held }: Lane, durable: string, leaving: boolean): LaneShown => ({
      name,
      durable,
      weight,
      prefetch,
      held,
      leaving,
    });
    if (this.#rest === undefined) return [];
    return [
      ...[...this.#feeds.values()].map(({ lane, spec, leaving }) => of(lane, spec.name, leaving)),
      of(this.#rest, this.#options.consumer.name, false),
    ];
  }

  /**
   * Makes the durables of the lanes ready that a blueprint has, which need not be in force yet, and looks for those that
   * it has no more.
   *
   * @param noted The lanes that the consumer's own durable notes, where that was asked already.
   * @returns Undefined where there is nothing to look for
   * @throws OuzelError as `ensureDurable`
   */
  async provision(
    blueprint: Blueprint,
    streamMade: string | undefined,
    noted: readonly string[] = [],
  ): Promise<Ready | undefined> {
    // One after the other: a reload, a reconnect and a durable that is gone may all want it at once.
    const mine = this.#turn.then(() => this.#provision(blueprint, streamMade, noted));
    this.#turn = mine.then(
      () => undefined,
      () => undefined,
    );
    return mine;
  }

  async #provision(
    blueprint: Blueprint,
    streamMade: string | undefined,
    noted: readonly string[],
  ): Promise<Ready | undefined> {
    if (blueprint.laneSpecs.length === 0 && this.#feeds.size === 0 && noted.length === 0) return undefined;
    const found = await provisionLanes(
      { ...this.#options, streamMade, known: (name) => this.#feeds.get(name)?.state },
      blueprint,
      noted,
    );
    this.#found = found;
    this.#askedAt = performance.now();
    return { names: [...found.keys()], made: durablesMade(found) };
  }

  /** Deletes durables that were made for what is not to be after all. */
  unmake(stream: string, durables: readonly string[]): Promise<void> {
    return unmakeLanes(this.#options, stream, durables);
  }

  /** Puts in force what `provision` found; the blueprint is in force by now. */
  apply(): void {
    const { consumer } = this.#options;
    const { laneSpecs: lanes, rest, prefetch } = this.#options.blueprint();
    for (const [name, feed] of this.#feeds) if (!this.#found.has(name)) this.#drop(name, feed);
    for (const [name, { spec, state, made }] of this.#found) {
      const weight = lanes.find((each) => each.name === name)?.weight;
      const feed = this.#feeds.get(name) ?? this.#open(name, spec, state);
      feed.state = state;
      feed.leaving = weight === undefined || state.until !== undefined;
      feed.lane.weight = weight ?? feed.lane.weight;
      // What it brings may be in hand by another durable.
      if (made) consumer.comesAgain();
    }
    for (const [name, each] of this.#found) this.#found.set(name, { ...each, made: false });
    if (this.#feeds.size === 0) this.#rest = undefined;
    else if (this.#rest?.name !== rest.name) this.#rest = new Lane(rest.name, rest.weight, prefetch, consumer);
    if (this.#rest !== undefined) this.#rest.weight = rest.weight;
    this.#share();
    if (this.#taking) this.take(true);
  }

  /** Whether an event is to be taken from the durable that brought it; another lane's is let go. */
  takes(from: Lane | undefined, carrier: Carrier, { milliseconds }: Position): boolean {
    if (this.#table === undefined || from === undefined) return true;
    // Not before: reading the subject decodes it.
    if (this.#table.of(carrier.subject, milliseconds) === from) return true;
    // Who does not know what the others know takes it: twice is better than not at all.
    if (!this.isFresh) return true;
    this.#options.consumer.settle.passOn(carrier.reply);
    return false;
  }

  /** The consumer takes events, or takes none for now. */
  take(taking: boolean): void {
    this.#taking = taking;
    for (const { pull } of this.#feeds.values())
      if (!taking) pull.pause();
      else if (pull.paused) pull.resume();
  }

  /** The consumer is paused, as `Pull.hold`. */
  hold(): void {
    this.#taking = false;
    for (const { pull } of this.#feeds.values()) pull.hold();
  }

  /** Stops for good, as `Pull.stop`. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    await Promise.all([...this.#feeds.values()].map(({ pull }) => pull.stop()));
  }

  /** Asks the server how the lanes stand, and lets go of those that are done. @param own The consumer's own durable. */
  async poll(
    own: ConsumerInfo,
  ): Promise<{ readonly pending: number; readonly ackPending: number; readonly redelivered: number }> {
    const sum = { pending: 0, ackPending: 0, redelivered: 0 };
    if (this.#feeds.size === 0) return sum;
    const { manager, metrics, consumer, logger } = this.#options;
    let all = true;
    for (const [name, feed] of this.#feeds) {
      const info = await findDurable(manager, feed.spec.stream, feed.spec.name).catch(() => undefined);
      all &&= info !== undefined;
      if (info === undefined || this.#stopped) continue;
      sum.pending += info.num_pending;
      sum.ackPending += info.num_ack_pending;
      sum.redelivered += info.num_redelivered;
      metrics.lanePending.with(consumer.name, name).set(info.num_pending);
      feed.state = laneState(info);
      if (feed.leaving)
        await this.#tend(name, feed, info, own).catch((error: unknown) =>
          logger.warn({ consumer: consumer.name, lane: name, error: String(error) }, 'a lane cannot leave yet'),
        );
    }
    if (all) this.#askedAt = performance.now();
    metrics.lanePending.with(consumer.name, this.#rest?.name ?? '').set(own.num_pending);
    this.#share();
    return sum;
  }

  /** A lane that leaves is given notice, and goes when all that it had is done, here and on the way past it. */
  async #tend(name: string, feed: Feed, info: ConsumerInfo, own: ConsumerInfo): Promise<void> {
    const { manager, logger, consumer } = this.#options;
    const { until } = feed.state;
    if (until === undefined) {
      feed.state = { ...feed.state, until: await noteLeaving(manager, info) };
      logger.info({ consumer: consumer.name, lane: name }, 'lane leaves: it takes what it still has');
      return;
    }
    if (serverTime(info.ts) <= until) return;
    if (feed.last === undefined) {
      // What the durables said until now may be from before that.
      feed.last = (await findStream(manager, feed.spec.stream))?.state.last_seq;
      return;
    }
    if (!isSettledUpTo(info, feed.last) || !isSettledUpTo(own, feed.last)) return;
    const { spec } = this.#options.blueprint();
    this.#feeds.delete(name);
    this.#found.delete(name);
    // Noted first: whoever finds the durable gone then knows that it is to be.
    await ensureDurable(manager, { ...spec, lanes: [...this.#feeds.keys()] });
    await feed.pull.stop();
    await deleteDurable(manager, feed.spec.stream, feed.spec.name);
    logger.info({ consumer: consumer.name, lane: name }, 'lane left');
    this.#forget(name);
    // It was wanted again meanwhile.
    this.#restore();
  }

  #open(name: string, spec: DurableSpec, state: LaneState): Feed {
    const { consumer, connection, wire, domain, logger, blueprint } = this.#options;
    const lane = new Lane(name, 1, 1, consumer);
    const pull = new Pull({
      connection,
      wire,
      stream: spec.stream,
      durable: spec.name,
      consumer,
      lane: () => lane,
      open: (carrier, position, take) => {
        if (this.takes(lane, carrier, position)) take(new Event(carrier, position, spec.stream, blueprint().decode));
        else pull.askAgain();
      },
      domain,
      onLost: (reason) => {
        logger.warn(
          { consumer: consumer.name, lane: name, reason },
          'the pull of a lane ended; its durable is looked at',
        );
        this.#restore();
      },
      onWarning: (message) => logger.warn({ consumer: consumer.name, lane: name }, message),
    });
    const feed: Feed = { spec, lane, pull, state, leaving: false, last: undefined };
    this.#feeds.set(name, feed);
    return feed;
  }

  /** Makes the lanes ready again, as the blueprint in force has them; tried until it is done. */
  #restore(): void {
    clearTimeout(this.#retry);
    this.#makeReady().catch((error: unknown) => {
      const { logger, consumer } = this.#options;
      const { code, message } = asOuzelError(error);
      logger.warn({ consumer: consumer.name, code }, `lanes cannot be taken yet: ${message}`);
      this.#retry = setTimeout(() => this.#restore(), AGAIN);
      this.#retry.unref();
    });
  }

  async #makeReady(): Promise<void> {
    const { manager, wire, logger, metrics, consumer, blueprint } = this.#options;
    // What is away is asked again when it is back.
    if (this.#stopped || !wire.connected) return;
    const done = await this.provision(blueprint(), undefined);
    if (done !== undefined) await ensureDurable(manager, { ...blueprint().spec, lanes: done.names });
    if (this.#stopped) return;
    for (const durable of done?.made ?? []) {
      metrics.consumerRecreated.with(consumer.name).increment();
      logger.warn({ consumer: consumer.name, durable }, 'the durable of a lane was gone and has been made anew');
    }
    this.apply();
  }

  #drop(name: string, { pull }: Feed): void {
    this.#feeds.delete(name);
    this.#forget(name);
    pull
      .stop()
      .catch((error: unknown) =>
        this.#options.logger.error({ error: String(error) }, 'the pull of a lane could not be ended'),
      );
  }

  #forget(name: string): void {
    const { metrics, consumer } = this.#options;
    metrics.lanePending.drop(consumer.name, name);
    if (this.#feeds.size === 0) metrics.lanePending.remove('consumer', consumer.name);
  }

  /** Gives each lane its share, and says which event is whose. */
  #share(): void {
    const { consumer, blueprint } = this.#options;
    const rest = this.#rest;
    const { admission, ranked, prefetch } = blueprint();
    consumer.discipline = { ranked, rest };
    admission?.order(consumer.discipline);
    if (rest === undefined) {
      this.#table = undefined;
      consumer.laneOf = undefined;
      return;
    }
    const lanes = [rest, ...[...this.#feeds.values()].map(({ lane }) => lane)];
    for (const [index, share] of shareOut(prefetch, lanes).entries()) (lanes[index] as Lane).prefetch = share;
    const table = new LaneTable(
      rest,
      [...this.#feeds.values()].map(({ lane, state, leaving }) => ({ ...state, lane, leaving })),
    );
    this.#table = table;
    consumer.laneOf = ({ carrier, position }) => table.of(carrier.subject, position.milliseconds);
    consumer.ask();
  }
}
