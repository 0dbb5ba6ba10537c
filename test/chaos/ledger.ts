/** What really happened, kept outside of Ouzel: acknowledged publishes, effects at their targets, dead letters. */
import type { Client } from '../helpers/publish.ts';
import type { ChaosEvent } from './scenario.ts';
import { DEAD_LETTERS, OUT } from './scenario.ts';

/** An effect: something arrived where a route delivers to. */
export interface Effect {
  readonly consumer: string;
  readonly route: string;
  /** The id of the event. */
  readonly event: string;
  /** The message id that it bears. */
  readonly id: string;
}

export interface Letter {
  readonly consumer: string;
  readonly event: string;
  readonly id: string;
  readonly reason: string;
  readonly error: string;
  readonly attempts: number;
  /** The routes it stands for; empty: all. */
  readonly routes: readonly string[];
  readonly run: string;
}

const keyOf = (consumer: string, route: string, event: string): string => `${consumer}/${route}/${event}`;

export class Ledger {
  /** By id, with the sequence of the PubAck. */
  readonly published = new Map<string, ChaosEvent & { readonly sequence: number }>();
  /** Message ids by consumer, route and event, with how often each arrived; in the order in which they came first. */
  readonly effects = new Map<string, Map<string, number>>();
  /** By consumer and event. */
  readonly letters = new Map<string, Letter[]>();

  publish(event: ChaosEvent, sequence: number): void {
    this.published.set(event.id, { ...event, sequence });
  }

  effect({ consumer, route, event, id }: Effect): void {
    const key = keyOf(consumer, route, event);
    const ids = this.effects.get(key) ?? new Map<string, number>();
    this.effects.set(key, ids.set(id, (ids.get(id) ?? 0) + 1));
  }

  letter(letter: Letter): void {
    const key = keyOf(letter.consumer, '', letter.event);
    this.letters.set(key, [...(this.letters.get(key) ?? []), letter]);
  }

  effectsOf(consumer: string, route: string, event: string): ReadonlyMap<string, number> {
    return this.effects.get(keyOf(consumer, route, event)) ?? NONE;
  }

  lettersOf(consumer: string, event: string): readonly Letter[] {
    return this.letters.get(keyOf(consumer, '', event)) ?? [];
  }

  /** Enters what the output and dead-letter streams hold. To be called once, at the end. */
  async readStreams(client: Client): Promise<void> {
    await eachMessage(client, OUT, (subject, header) => {
      const [, consumer = '', route = ''] = subject.split('.');
      this.effect({ consumer, route, event: header('ce-id'), id: header('Nats-Msg-Id') });
    });
    await eachMessage(client, DEAD_LETTERS, (_subject, header) => {
      const routes = header('Ouzel-Routes');
      this.letter({
        consumer: header('Ouzel-Consumer'),
        event: header('Ouzel-Msg-Id'),
        id: header('Nats-Msg-Id'),
        reason: header('Ouzel-Reason'),
        error: header('Ouzel-Error'),
        attempts: Number(header('Ouzel-Attempts')),
        routes: routes === '' ? [] : routes.split(','),
        run: header('Ouzel-Run'),
      });
    });
  }
}

const NONE: ReadonlyMap<string, number> = new Map();

/** Shows every message that a stream holds, in order, some thousand at a time. */
async function eachMessage(
  client: Client,
  stream: string,
  take: (subject: string, header: (name: string) => string) => void,
): Promise<void> {
  const { state } = await client.jsm.streams.info(stream);
  const consumer = await client.js.consumers.get(stream);
  for (let left = state.messages; left > 0;) {
    const messages = await consumer.fetch({ max_messages: Math.min(left, 5_000), expires: 10_000 });
    const before = left;
    for await (const message of messages) {
      take(message.subject, (name) => message.headers?.get(name) ?? '');
      left--;
    }
    if (left === before) throw new Error(`${stream} holds ${state.messages} messages, and ${left} do not come.`);
  }
}
