/** The streams that Ouzel keeps for itself: made at the start, and made again should one be gone while it runs. */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { Publisher } from '../deliver/ports.ts';
import { asOuzelError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import { ensureStream, type StreamSpec } from './provision.ts';

/** Milliseconds between two looks at streams that seem to be gone, at least. */
const LOOK_AGAIN = 5_000;

export class SystemStreams {
  readonly #manager: JetStreamManager;
  readonly #specs: () => readonly StreamSpec[];
  readonly #logger: Logger;
  #lookedAt = 0;

  /** @param specs Those that the configuration in force needs. */
  constructor(manager: JetStreamManager, specs: () => readonly StreamSpec[], logger: Logger) {
    this.#manager = manager;
    this.#specs = specs;
    this.#logger = logger;
  }

  /** Makes those that are not there. @throws OuzelError as `ensureStream` */
  async ensure(): Promise<void> {
    this.#lookedAt = performance.now();
    for (const spec of this.#specs()) {
      const { made, changed, kept } = await ensureStream(this.#manager, spec);
      if (made) this.#logger.info({ stream: spec.name }, 'stream made');
      if (changed.length > 0) this.#logger.info({ stream: spec.name, changed }, 'stream changed');
      // One that drops the oldest letters at its limit loses them in silence; that is worth a line at each start.
      if (kept.length > 0)
        this.#logger.warn({ stream: spec.name, differs: kept }, 'stream differs from what Ouzel would make');
    }
  }

  /** No stream took what belongs into one of these. */
  readonly missing = (): void => {
    if (performance.now() - this.#lookedAt < LOOK_AGAIN) return;
    this.ensure().catch((error: unknown) => {
      const { code, message } = asOuzelError(error);
      this.#logger.error({ code }, `a stream of Ouzel's own is gone and cannot be made again: ${message}`);
    });
  };

  /** A publisher that notices when the stream it publishes to is gone. */
  watched(publisher: Publisher): Publisher {
    return {
      publishCore: (...args) => publisher.publishCore(...args),
      publish: (subject, headers, body, timeout, listener) =>
        publisher.publish(subject, headers, body, timeout, {
          confirmed: (...stored) => listener.confirmed(...stored),
          failed: (error) => {
            if (error.code === 'TARGET_NO_STREAM') this.missing();
            listener.failed(error);
          },
        }),
    };
  }
}
