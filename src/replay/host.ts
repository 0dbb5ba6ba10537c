/** The replays that a daemon carries out itself. */
import { asOuzelError, OuzelError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import type { ReplayAccess } from './asked.ts';
import type { Claim } from './begin.ts';
import { runReplay } from './run.ts';

/** Replays at once, at most: each reads, and holds some hundred events in hand. */
const MOST = 8;

export class ReplayHost {
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** To be asked before one is begun. @throws OuzelError CONFLICT, NATS_UNAVAILABLE */
  check(): void {
    if (this.#stopping.signal.aborted) throw new OuzelError('NATS_UNAVAILABLE', 'the daemon stops');
    if (this.#running.size >= MOST)
      throw new OuzelError('CONFLICT', `${MOST} replays run here already: wait for one, or stop one`);
  }

  /** Carries it out beside everything else. How far it is stands in its record. */
  run(access: ReplayAccess, claim: Claim): void {
    const { name, asked } = claim.record;
    this.#logger.info({ replay: name, stream: asked.stream, to: asked.to }, 'replay begins');
    const running = runReplay(access, claim, { signal: this.#stopping.signal })
      .then(({ state, reason, selected, handed }) =>
        this.#logger.info({ replay: name, reason, events: selected, handed }, `replay ${state}`),
      )
      .catch((error: unknown) => {
        const { code, message } = asOuzelError(error);
        this.#logger.error({ replay: name, code }, `replay ended: ${message}`);
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Ends all, cleanly: each is gone on with by whoever resumes it. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
  }
}
