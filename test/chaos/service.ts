/** The service that `request` targets ask: it enters what it did in the ledger, and fails in every way when told to. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Msg } from '@nats-io/transport-node';
import { headers, type Subscription } from '@nats-io/transport-node';
import type { Client } from '../helpers/publish.ts';
import type { Ledger } from './ledger.ts';
import { SLOW } from './scenario.ts';

/**
 * - `ok`: does what it is asked, answers.
 * - `down`: nobody listens.
 * - `failing`: answers 500 and does nothing. `busy`: the same with 503.
 * - `silent`: does nothing and answers nothing. `forgetful`: does what it is asked, and answers nothing.
 */
export type ServiceMode = 'ok' | 'down' | 'failing' | 'busy' | 'silent' | 'forgetful';

export interface Service {
  mode: ServiceMode;
  /** Requests that it refused once, as its own rule has it. */
  readonly refused: ReadonlySet<string>;
}

const ROUTE = 'service';

/** Starts it on `svc.*`. It goes with the connection. */
export async function startService(client: Client, ledger: Ledger): Promise<Service> {
  let mode: ServiceMode = 'ok';
  let subscription: Subscription | undefined;
  const refused = new Set<string>();

  const fail = (message: Msg, code: number, words: string): void => {
    const head = headers();
    head.set('Nats-Service-Error-Code', String(code));
    head.set('Nats-Service-Error', words);
    message.respond('', { headers: head });
  };
  const answer = async (message: Msg): Promise<void> => {
    const consumer = message.subject.slice('svc.'.length);
    const event = message.headers?.get('ce-id') ?? '';
    if (mode === 'failing') return fail(message, 500, 'out of order');
    if (mode === 'busy') return fail(message, 503, 'too busy');
    if (mode === 'silent') return;
    const n = Number(event.slice(2));
    // Every patient event is refused once, and so are some of the calls and of those that keep an order.
    const picky =
      consumer === 'patient' || (consumer === 'call' && n % 10 === 0) || (consumer === 'keyed' && n % 11 === 0);
    if (picky && !refused.has(event)) {
      refused.add(event);
      return fail(message, 422, 'not yet');
    }
    if (consumer === 'slow') await sleep(SLOW);
    ledger.effect({ consumer, route: ROUTE, event, id: message.headers?.get('Nats-Msg-Id') ?? '' });
    if (mode !== 'forgetful') message.respond('{}');
  };
  const listen = (): void => {
    subscription = client.nc.subscribe('svc.*', {
      callback: (error, message) => {
        // While the connection is away there is nobody to answer; the daemon asks again.
        if (error === null) answer(message).catch(() => undefined);
      },
    });
  };
  listen();
  await client.nc.flush();
  return {
    refused,
    get mode() {
      return mode;
    },
    set mode(next) {
      mode = next;
      if (next === 'down') subscription?.unsubscribe();
      else if (subscription?.isClosed() !== false) listen();
    },
  };
}
