/** The webhooks of the configuration in force, ready to be asked. What a reload did not change stays as it is. */
import type { Config, SourceConfig } from '../config/schema.ts';
import { Memory } from './memory.ts';
import { compilePublish, type MessageMaker } from './publish.ts';
import { Rate } from './rate.ts';
import type { Verifier } from './verify/verifier.ts';
import { verifierOf, type WebhookOptions } from './webhook.ts';

/** Ids of a source that are remembered. */
const MEMORY = 10_000;

export interface Webhook {
  readonly name: string;
  readonly options: WebhookOptions;
  /** Milliseconds to wait for the PubAck. */
  readonly timeout: number;
  readonly verifier: Verifier;
  readonly rate: Rate | undefined;
  readonly memory: Memory;
  readonly message: MessageMaker;
}

interface Entry {
  /** What it is made of: the same object from one load to the next, unless it was changed. */
  readonly of: SourceConfig;
  readonly webhook: Webhook;
}

export interface RegistryListener {
  added(name: string): void;
  removed(name: string): void;
}

export class Webhooks {
  readonly #config: () => Config;
  readonly #listener: RegistryListener;
  #of: Config['sources'] | undefined;
  #entries = new Map<string, Entry>();
  #byPath = new Map<string, Webhook>();

  /** @param config The one in force. */
  constructor(config: () => Config, listener: RegistryListener) {
    this.#config = config;
    this.#listener = listener;
  }

  /** The webhook at a path. */
  at(path: string): Webhook | undefined {
    this.follow();
    return this.#byPath.get(path);
  }

  /** Makes ready what the configuration has now. */
  follow(): void {
    const { sources } = this.#config();
    if (this.#of === sources) return;
    this.#of = sources;
    const before = this.#entries;
    this.#entries = new Map();
    for (const [name, of] of Object.entries(sources)) {
      if (of.webhook === undefined) continue;
      const known = before.get(name);
      if (known === undefined) this.#listener.added(name);
      this.#entries.set(name, known?.of === of ? known : { of, webhook: webhookOf(name, of, of.webhook, known) });
    }
    for (const [name, { webhook }] of before) {
      const now = this.#entries.get(name);
      if (now === undefined) this.#listener.removed(name);
      if (now?.webhook !== webhook) webhook.verifier.close?.();
    }
    this.#byPath = new Map([...this.#entries.values()].map(({ webhook }) => [webhook.options.path, webhook]));
  }

  close(): void {
    for (const { webhook } of this.#entries.values()) webhook.verifier.close?.();
  }
}

function webhookOf(
  name: string,
  { publish }: SourceConfig,
  options: WebhookOptions,
  known: Entry | undefined,
): Webhook {
  return {
    name,
    options,
    timeout: publish.timeout,
    verifier: verifierOf(options.verify),
    rate: options.rate === undefined ? undefined : new Rate(options.rate, performance.now()),
    // A change must not let in again what was taken already.
    memory: known?.webhook.memory ?? new Memory(MEMORY),
    message: compilePublish(publish),
  };
}
