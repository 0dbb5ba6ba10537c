/** A consumer's own durable: brought in line with its configuration, and made anew where it was when it is gone. */
import type { Consumer } from '../core/consumer.ts';
import { type Difference, ensureDurable, type Provisioned } from '../nats/provision.ts';
import type { Blueprint } from './build.ts';
import type { LaneFeeds } from './lanes.ts';
import type { RuntimeOptions } from './runtime.ts';

export interface OwnDurableOptions extends Pick<RuntimeOptions, 'manager' | 'logger' | 'metrics'> {
  readonly consumer: Consumer;
  /** The durables beside it. */
  readonly lanes: LaneFeeds;
  /** It was gone and has been made anew. */
  readonly onMadeAnew: () => Promise<void>;
}

export class OwnDurable {
  readonly #options: OwnDurableOptions;
  /** Last of its acknowledgements that is known, for making it anew where it was. */
  #ackFloor: number | undefined;
  /** When its stream was made: one that is deleted and made anew counts from 1 again. */
  #streamMade: string | undefined;

  constructor(options: OwnDurableOptions) {
    this.#options = options;
  }

  /** Notes up to where all has its outcome, as the server says. */
  seen(ackFloor: number): void {
    this.#ackFloor = ackFloor;
  }

  /**
   * Brings the durable on the server, and those of lanes, in line with a blueprint, which need not be in force yet.
   *
   * @returns What was done, with the durables of lanes that were made
   * @throws OuzelError as `ensureDurable`
   */
  async provision(blueprint: Blueprint): Promise<Provisioned & { readonly lanesMade: readonly string[] }> {
    const { manager, consumer, lanes, onMadeAnew } = this.#options;
    const sequence = this.#resumeFrom();
    const streamMade = this.#streamMade;
    // Lanes first: what comes between the two is in a lane, or comes by the consumer's own.
    const beside = await lanes.provision(blueprint, streamMade);
    const spec = beside === undefined ? blueprint.spec : { ...blueprint.spec, lanes: beside.names };
    const resumption = sequence === undefined ? undefined : { sequence, streamMade };
    const done = await ensureDurable(manager, spec, resumption).catch(async (error: unknown) => {
      await lanes.unmake(spec.stream, beside?.made ?? []);
      throw error;
    });
    // It had lanes when it ran last.
    if (beside === undefined && done.lanes.length > 0) await lanes.provision(blueprint, streamMade, done.lanes);
    if (streamMade !== undefined && streamMade !== done.streamMade) consumer.startOver();
    this.#streamMade = done.streamMade;
    this.#ackFloor = done.ackFloor;
    if (done.made && sequence !== undefined) {
      await onMadeAnew();
      consumer.comesAgain();
    }
    const lanesMade = beside?.made ?? [];
    this.#say(done, sequence, blueprint, lanesMade);
    return { ...done, lanesMade };
  }

  #say(
    { made, changed }: Provisioned,
    sequence: number | undefined,
    { spec: { stream } }: Blueprint,
    lanesMade: readonly string[],
  ): void {
    const { logger, metrics, consumer } = this.#options;
    const { name } = consumer;
    if (made && sequence === undefined) logger.info({ consumer: name, stream }, 'durable made');
    else if (made) {
      metrics.consumerRecreated.with(name).increment();
      logger.warn({ consumer: name, from: sequence }, 'the durable was gone and has been made anew');
    }
    if (changed.length > 0) logger.info({ consumer: name, changed: describe(changed) }, 'durable changed');
    if (lanesMade.length > 0) logger.info({ consumer: name, durables: lanesMade }, 'durables of lanes made');
  }

  /**
   * Where a durable that is gone is made anew: behind the last event that all instances were done with, as far as is
   * known. This instance may be further, but others, or one that died, may have had earlier ones in hand. What was done
   * since is done again, with the same ids.
   */
  #resumeFrom(): number | undefined {
    return this.#ackFloor === undefined ? undefined : this.#ackFloor + 1;
  }
}

const describe = (changed: readonly Difference[]): string =>
  changed
    .map(({ field, server, config }) => `${field}: ${JSON.stringify(server)} → ${JSON.stringify(config)}`)
    .join('; ');
