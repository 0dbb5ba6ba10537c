/**
 * What a service manager is told (sd_notify(3)), where there is one: that the daemon runs, reloads and stops, how it is,
 * and that its loop turns. It goes through `systemd-notify`, because Node.js has no datagram sockets of this kind; the
 * unit needs `NotifyAccess=all` for that.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { DaemonStatus } from './status.ts';
import type { Logger } from './telemetry/log.ts';

/** Milliseconds between two changes of the status that are told. */
const STATUS_EVERY = 1_000;
/** Milliseconds that one message may take. */
const TIMEOUT = 5_000;

export class Systemd {
  readonly #logger: Logger;
  readonly #redact: (text: string) => string;
  /** Milliseconds between two signs of life; undefined where nobody waits for them. */
  readonly #beatEvery: number | undefined;
  #lastBeat = Number.NEGATIVE_INFINITY;
  #status = '';
  #statusAt = Number.NEGATIVE_INFINITY;
  /** One message after another: READY must not overtake RELOADING. */
  #queue: Promise<void> = Promise.resolve();
  #beating = false;
  #failed = false;

  /** Undefined where no service manager listens. */
  static from(env: NodeJS.ProcessEnv, logger: Logger, redact: (text: string) => string): Systemd | undefined {
    return (env['NOTIFY_SOCKET'] ?? '') === '' ? undefined : new Systemd(env, logger, redact);
  }

  private constructor(env: NodeJS.ProcessEnv, logger: Logger, redact: (text: string) => string) {
    this.#logger = logger;
    this.#redact = redact;
    const { WATCHDOG_USEC: time, WATCHDOG_PID: pid } = env;
    const meant = pid === undefined || Number(pid) === process.pid;
    // Half of the time that is allowed, as sd_watchdog_enabled(3) says.
    if (meant && Number(time) > 0) this.#beatEvery = Number(time) / 1000 / 2;
  }

  /** It runs, with a valid configuration. Whether events flow is another question: the status, and `/readyz`. */
  ready(): void {
    this.#send('READY=1');
  }

  /** A change of the configuration is read; `ready` ends that. */
  reloading(): void {
    this.#send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  stopping(): void {
    this.#send('STOPPING=1', 'STATUS=Draining');
  }

  /** To be called by the loop that looks after the consumers, each time that it came through. */
  beat(status: DaemonStatus): void {
    const now = performance.now();
    const text = this.#redact(describe(status));
    if (text !== this.#status && now - this.#statusAt >= STATUS_EVERY) {
      this.#status = text;
      this.#statusAt = now;
      this.#send(`STATUS=${text}`);
    }
    // A sweep comes every half second: one that is a little early is not left out.
    if (this.#beatEvery === undefined || this.#beating || now - this.#lastBeat < this.#beatEvery - 250) return;
    this.#lastBeat = now;
    this.#beating = true;
    this.#send('WATCHDOG=1');
    this.#queue = this.#queue.then(() => {
      this.#beating = false;
    });
  }

  #send(...variables: string[]): void {
    this.#queue = this.#queue.then(async () => {
      try {
        await promisify(execFile)('systemd-notify', variables, { timeout: TIMEOUT });
        this.#failed = false;
      } catch (error) {
        if (!this.#failed) this.#logger.warn(`the service manager cannot be told: ${(error as Error).message}`);
        this.#failed = true;
      }
    });
  }

  /** Resolves when all has been told. */
  async flush(): Promise<void> {
    await this.#queue;
  }
}

/** In a line, for `systemctl status`. */
function describe({ reasons, degraded, consumers, config }: DaemonStatus): string {
  const states = Map.groupBy(consumers, ({ state }) => state);
  const counts = [...states].map(([state, { length }]) => `${length} ${state}`).join(', ');
  return [
    counts === '' ? 'No consumers' : `Consumers: ${counts}`,
    ...reasons,
    ...degraded.map(({ target }) => `target ${target} is away`),
    ...(config.last_reload?.result === 'rejected' ? ['the last change of the configuration was rejected'] : []),
  ]
    .join('; ')
    .replaceAll(/\s+/g, ' ')
    .slice(0, 400);
}
