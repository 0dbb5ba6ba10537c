/**
 * Targets that said they are gone for good (410): nothing is sent there, by no instance, over restarts, until their
 * configuration changes or somebody enables them. A key a target in KV, `disabled.partner`, with the revision of the
 * configuration that it holds for.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { Breaker, Breakers, Disabling } from '../deliver/breaker.ts';
import { asOuzelError, OuzelError } from '../errors.ts';
import { targetRevision } from '../reconcile/revision.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Fleet } from './fleet.ts';
import type { Actor } from './ports.ts';

export interface DisabledOptions {
  readonly breakers: () => Breakers;
  /** The configuration in force. */
  readonly loaded: () => LoadedConfig;
  /** Undefined before the first connection. */
  readonly fleet: () => Fleet | undefined;
  /** The name of this process. */
  readonly instance: string;
  readonly logger: Logger;
}

/** Milliseconds before what could not be stored is stored again. */
const AGAIN = 5_000;

/** What is stored. */
interface Stored {
  /** Of the target's configuration. */
  readonly revision: string;
  readonly error: string;
}

export class DisabledTargets {
  readonly #options: DisabledOptions;
  /** What this instance found out and the fleet does not know yet. */
  readonly #own = new Map<string, Disabling & { readonly revision: string }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: DisabledOptions) {
    this.#options = options;
  }

  /** Why a target is disabled, with the configuration that is in force; undefined when it is not. */
  of(target: string): Disabling | undefined {
    const { loaded, fleet } = this.#options;
    const revision = targetRevision(loaded().source, target);
    const own = this.#own.get(target);
    if (own !== undefined && own.revision === revision) return own;
    const entry = fleet()?.disabled.get(target);
    const stored = entry === undefined ? undefined : storedOf(entry.text);
    if (entry === undefined || stored === undefined || stored.revision !== revision) return undefined;
    return { error: new OuzelError('TARGET_GONE', stored.error, { status: 410 }), since: Date.parse(entry.at) };
  }

  /**
   * A target is disabled here. To be called for each that is.
   *
   * @returns Whether this instance found it out, and now tells the others.
   */
  found({ target, trouble }: Breaker): boolean {
    if (trouble === undefined || this.of(target) !== undefined) return false;
    const revision = targetRevision(this.#options.loaded().source, target);
    if (revision === undefined) return false;
    this.#own.set(target, { ...trouble, revision });
    this.#store();
    return true;
  }

  /** Makes the breakers what they should be. To be called when a configuration came into force, or KV says something. */
  sync(): void {
    const { breakers, loaded } = this.#options;
    for (const [target, { revision }] of this.#own)
      if (revision !== targetRevision(loaded().source, target)) this.#own.delete(target);
    for (const breaker of breakers().all) {
      const wanted = this.of(breaker.target);
      if (wanted === undefined) breaker.enable();
      else if (!breaker.isDisabled) breaker.disable(wanted);
    }
  }

  /** Lets a target be delivered to again, by all instances. @throws OuzelError NATS_UNAVAILABLE, CONFLICT */
  async enable(target: string, fleet: Fleet, actor: Actor): Promise<void> {
    this.#own.delete(target);
    if (!(await fleet.setDisabled(target, undefined, actor)))
      throw new OuzelError('CONFLICT', `"${target}" was disabled or enabled by another instance just now: look again`);
    this.sync();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #store(): void {
    clearTimeout(this.#timer);
    this.#storeAll().catch((error: unknown) => {
      this.#options.logger.warn(
        `that a target is disabled could not be stored, and is tried again: ${asOuzelError(error).message}`,
      );
      this.#timer = setTimeout(() => this.#store(), AGAIN).unref();
    });
  }

  async #storeAll(): Promise<void> {
    const { fleet, instance, loaded } = this.#options;
    for (const [target, own] of this.#own) {
      const { error, revision } = own;
      const stored: Stored = { revision, error: loaded().redact(error.message) };
      const known = fleet();
      if (known === undefined) throw new OuzelError('NATS_UNAVAILABLE', 'NATS is away');
      // Whoever was faster said the same, or says otherwise: that comes with the watch.
      await known.setDisabled(target, JSON.stringify(stored), { name: instance, from: '' });
      if (this.#own.get(target) === own) this.#own.delete(target);
    }
  }
}

function storedOf(text: string): Stored | undefined {
  try {
    const { revision, error } = JSON.parse(text) as Partial<Stored>;
    return typeof revision === 'string'
      ? { revision, error: typeof error === 'string' ? error : '410 Gone' }
      : undefined;
  } catch {
    // Somebody else's.
    return undefined;
  }
}
