/** Records in the audit what a command did. */
import { Acts } from '../audit/acts.ts';
import { Anchor } from '../audit/anchor.ts';
import { Trail } from '../audit/trail.ts';
import type { Publisher } from '../deliver/ports.ts';
import { ensureStream } from '../nats/provision.ts';
import { auditSpec, trailSpecs } from '../reconcile/system-streams.ts';
import { newInstance } from '../telemetry/incidents/message.ts';
import { createLogger } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import type { Session } from './session.ts';
import { thisUser } from './user.ts';

/** Milliseconds to anchor what was recorded, at most. */
const CLOSING = 5_000;

export class Recorder {
  readonly #session: Session;
  readonly #publisher: Publisher;
  readonly #acts: Acts;
  readonly #trail: Trail;
  readonly #anchor: Anchor;
  #connected = false;

  constructor(session: Session, publisher: Publisher) {
    const { loaded, manager } = session;
    const instance = newInstance();
    const redact = (text: string): string => loaded.redact(text);
    const metrics = createMetrics();
    // What it does is printed; what it could not keep of it is an error.
    const logger = createLogger({ level: 'error', format: 'auto' }, redact, process.stderr);
    const { audit } = loaded.config;
    this.#session = session;
    this.#publisher = publisher;
    this.#trail = new Trail(audit, { instance, keyOf: () => undefined, redact, metrics, logger });
    const chain = (): Trail | undefined => (audit.mode === 'off' ? undefined : this.#trail);
    this.#acts = new Acts({ instance, redact, metrics, logger, chain });
    this.#anchor = new Anchor(instance, publisher, manager, logger);
  }

  /** @param resource Section and name: `replays/january`. */
  async record(what: string, resource: string, after?: unknown): Promise<void> {
    await this.#connect();
    const who = thisUser();
    await this.#acts.record({ who, from: 'command line', what, resource, after, outcome: 'done', status: 200 });
  }

  async close(): Promise<void> {
    if (this.#connected) await this.#trail.close(new Promise((resolve) => setTimeout(resolve, CLOSING).unref()));
  }

  async #connect(): Promise<void> {
    if (this.#connected) return;
    this.#connected = true;
    const { manager, loaded } = this.#session;
    await this.#acts.connect(this.#publisher, async () => void (await ensureStream(manager, auditSpec(loaded.config))));
    await this.#trail.connect(this.#publisher, this.#anchor, async () => {
      for (const spec of trailSpecs(loaded.config)) await ensureStream(manager, spec);
    });
  }
}
