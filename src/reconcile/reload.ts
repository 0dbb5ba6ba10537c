/** Changes of the configuration while the daemon runs: one after another, each with an outcome that can be seen. */
import { ConfigError, type LoadedConfig } from '../config/load.ts';
import { asOuzelError, OuzelError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type ConsumerDiff, isEmpty, needRestart } from './diff.ts';
import { RELOAD_RESULTS, type ReloadOutcome } from './result.ts';

/** Reads the configuration anew. @throws ConfigError */
export type Loader = () => Promise<LoadedConfig>;

/** The last word on a change that was built and checked: when it throws, nothing is put in force. */
export type Confirm = () => Promise<void>;

export interface ReloadOptions {
  readonly load: Loader;
  /** The configuration in force. */
  readonly current: () => LoadedConfig;
  /** Puts another one in force, and answers with what changed. When it throws, all is as it was. */
  readonly apply: (next: LoadedConfig, confirm?: Confirm) => Promise<ConsumerDiff | undefined>;
  /** Hears of a change that was refused, once for each reason. */
  readonly onRejected?: (outcome: ReloadOutcome) => void;
  /** The files are read again, and what they say has been put in force or refused. */
  readonly onBegin?: (() => void) | undefined;
  readonly onEnd?: (() => void) | undefined;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

export class Reloads {
  readonly #options: ReloadOptions;
  #generation = 1;
  #last: ReloadOutcome | undefined;
  /** What the last configuration that was read depends on: a rejected one may be mended there. */
  #files: readonly string[] = [];
  #queue: Promise<unknown> = Promise.resolve();
  #asked = false;
  #closed = false;

  constructor(options: ReloadOptions) {
    this.#options = options;
    const { metrics } = options;
    for (const result of RELOAD_RESULTS) metrics.configReloads.with(result);
    metrics.configLastReloadSuccessful.with().set(1);
    this.#showInForce();
  }

  /** Configurations put in force since the start. */
  get generation(): number {
    return this.#generation;
  }

  get last(): ReloadOutcome | undefined {
    return this.#last;
  }

  /** The files to watch: of the configuration in force, and of one that was rejected. */
  get files(): readonly string[] {
    return [...this.#options.current().files, ...this.#files];
  }

  /** Reads the configuration again and puts it in force. Asked several times meanwhile, it does so once more. */
  ask(): void {
    if (this.#asked || this.#closed) return;
    this.#asked = true;
    this.#queue = this.#queue.then(async () => {
      this.#asked = false;
      if (this.#closed) return;
      const began = performance.now();
      this.#options.onBegin?.();
      const outcome = await this.#reload();
      this.#show(outcome, performance.now() - began);
      this.#options.onEnd?.();
    });
  }

  /** Does something that must not meet a reload: those that are asked for meanwhile wait. */
  exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => undefined);
    return done;
  }

  /**
   * Puts a change in force that comes from elsewhere than the files. To be called within `exclusively`.
   *
   * @param confirm Asked last, when it is built and checked.
   * @throws OuzelError DAEMON_UNAVAILABLE while it stops; what keeps it from coming up, or `confirm` throws: then all is
   *   as it was
   */
  async change(next: LoadedConfig, confirm: Confirm): Promise<ConsumerDiff | undefined> {
    if (this.#closed) throw new OuzelError('DAEMON_UNAVAILABLE', 'this daemon stops; ask another instance');
    const began = performance.now();
    const { current, apply } = this.#options;
    const before = current();
    if (next.hash === before.hash) {
      await confirm();
      return undefined;
    }
    const at = new Date().toISOString();
    const changes = await apply(next, confirm);
    this.#generation++;
    const outcome: ReloadOutcome = { result: 'applied', at, hash: next.hash, reason: '', changes, needRestart: [] };
    this.#show(outcome, performance.now() - began);
    return changes;
  }

  /** No further reload begins; resolves when the one under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#queue;
  }

  async #reload(): Promise<ReloadOutcome> {
    const { load, current, apply } = this.#options;
    const at = new Date().toISOString();
    const before = current();
    let next: LoadedConfig | undefined;
    const ended = (result: ReloadOutcome['result'], changes?: ConsumerDiff, reason = ''): ReloadOutcome => ({
      result,
      at,
      hash: next?.hash,
      reason,
      changes,
      needRestart: result === 'applied' && next !== undefined ? needRestart(before.source, next.source) : [],
    });
    try {
      next = await load();
      this.#files = next.files;
      if (next.hash === before.hash) return ended('unchanged');
      const changes = await apply(next);
      this.#generation++;
      return ended('applied', changes);
    } catch (error) {
      if (error instanceof ConfigError) this.#files = error.files;
      return ended('rejected', undefined, asOuzelError(error).message);
    }
  }

  #show(outcome: ReloadOutcome, took: number): void {
    const { metrics, logger } = this.#options;
    const { result, hash, reason, changes, needRestart: restart } = outcome;
    const again = result === 'rejected' && this.#last?.result === result && this.#last.reason === reason;
    this.#last = outcome;
    metrics.configReloads.with(result).increment();
    metrics.configLastReloadSuccessful.with().set(result === 'rejected' ? 0 : 1);
    const generation = this.#generation;
    if (result === 'rejected') {
      if (again) return;
      logger.error({ hash, generation }, `configuration rejected; what was in force stays\n${reason}`);
      return this.#options.onRejected?.(outcome);
    }
    this.#showInForce();
    if (result === 'unchanged') return;
    const what = changes === undefined || isEmpty(changes) ? {} : changes;
    logger.info({ hash, generation, took_ms: Math.round(took), ...what }, 'configuration applied');
    if (restart.length > 0) logger.warn({ keys: restart }, 'these changes take effect at the next start');
  }

  #showInForce(): void {
    const { metrics } = this.#options;
    metrics.configGeneration.with().set(this.#generation);
    metrics.configLastSuccess.with().set(Date.now() / 1000);
  }
}
