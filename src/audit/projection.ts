/** The projection that the configuration in force asks for, if it does. */
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { Config } from '../config/schema.ts';
import type { Logger } from '../telemetry/log.ts';
import { Projector } from './project.ts';

const AT_ONCE = Promise.resolve();

export class Projection {
  readonly #logger: Logger;
  #nats: { readonly client: JetStreamClient; readonly manager: JetStreamManager } | undefined;
  #projector: Projector | undefined;
  #closed = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Begins to project, now that there is NATS. */
  connect(client: JetStreamClient, manager: JetStreamManager, audit: Config['audit']): void {
    this.#nats = { client, manager };
    this.#begin(audit);
  }

  /** Another configuration is in force. */
  follow(next: Config['audit'], before: Config['audit']): void {
    if (next.store === before.store && next.keep === before.keep && next.mode === before.mode) return;
    const old = this.#projector;
    this.#projector = undefined;
    if (old === undefined) return this.#begin(next);
    // What it had in hand is handed out again; it would change nothing.
    old.close(AT_ONCE).then(
      () => this.#begin(next),
      () => this.#begin(next),
    );
  }

  /** @param limit Ends the waiting. */
  async close(limit: Promise<void>): Promise<void> {
    this.#closed = true;
    await this.#projector?.close(limit);
  }

  #begin({ store: url, keep, mode }: Config['audit']): void {
    if (this.#nats === undefined || this.#closed || url === undefined || mode === 'off') return;
    if (this.#projector !== undefined) return;
    this.#projector = new Projector({ ...this.#nats, url, keep, logger: this.#logger });
    this.#projector.start();
  }
}
