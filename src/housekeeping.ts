/** What a daemon does again and again beside the events. */
import { asOuzelError } from './errors.ts';
import type { Logger } from './telemetry/log.ts';

export class Housekeeping {
  readonly #logger: Logger;
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Does something every so many milliseconds. */
  every(milliseconds: number, task: () => void): void {
    this.#timers.push(setInterval(task, milliseconds));
  }

  /** Asks the server something, one question at a time. What keeps it from an answer shows elsewhere. */
  asking(milliseconds: number, ask: () => Promise<void>): void {
    let open = false;
    this.every(milliseconds, () => {
      if (open) return;
      open = true;
      ask()
        .catch((error: unknown) => this.#logger.debug({ error: asOuzelError(error).message }, 'no answer'))
        .finally(() => (open = false));
    });
  }

  stop(): void {
    for (const each of this.#timers) clearInterval(each);
  }
}
