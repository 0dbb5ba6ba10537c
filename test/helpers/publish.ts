import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { JetStreamClient, JetStreamManager, StreamConfig } from '@nats-io/jetstream';
import { connect, headers } from '@nats-io/transport-node';
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';
import { releasing } from './resources.ts';

/** A plain NATS client, as any producer would have one. */
export interface Client extends AsyncDisposable {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
}

/** What to publish: a string or bytes as they are, anything else as JSON. */
export interface Outgoing {
  readonly subject: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** `Nats-Msg-Id`. */
  readonly id?: string;
}

/** Connects; closed when the test ends, or with `await using`. */
export async function connectTo(
  server: { readonly url: string | readonly string[] },
  options: Omit<ConnectionOptions, 'servers'> = {},
): Promise<Client> {
  const nc = await connect({
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    ...options,
    servers: [server.url].flat(),
  });
  const close = releasing(() => nc.close());
  return { nc, js: jetstream(nc), jsm: await jetstreamManager(nc), [Symbol.asyncDispose]: close };
}

/** Makes a stream, in memory unless told otherwise. */
export async function addStream(
  client: Client,
  name: string,
  subjects: readonly string[],
  more: Partial<StreamConfig> = {},
): Promise<void> {
  await client.jsm.streams.add({ storage: 'memory', ...more, name, subjects: [...subjects] });
}

/** Makes a bucket of JetStream KV, as every client makes it, and puts values into it. */
export async function addBucket(
  client: Client,
  bucket: string,
  entries: Readonly<Record<string, string>> = {},
): Promise<void> {
  const options = { max_msgs_per_subject: 1, allow_rollup_hdrs: true, deny_delete: true, allow_direct: true } as const;
  await addStream(client, `KV_${bucket}`, [`$KV.${bucket}.>`], options);
  for (const [key, value] of Object.entries(entries)) await client.js.publish(`$KV.${bucket}.${key}`, value);
}

/** Publishes one message, waits for the PubAck and returns its sequence. */
export async function publish(client: Client, message: Outgoing): Promise<number> {
  const head = headers();
  for (const [key, value] of Object.entries(message.headers ?? {})) head.set(key, value);
  const ack = await client.js.publish(message.subject, encode(message.body), {
    headers: head,
    ...(message.id === undefined ? {} : { msgID: message.id }),
  });
  return ack.seq;
}

/** Publishes many in order, some hundred at once, and waits for every PubAck. */
export async function publishMany(client: Client, count: number, make: (index: number) => Outgoing): Promise<void> {
  const atOnce = 500;
  for (let from = 0; from < count; from += atOnce) {
    const size = Math.min(atOnce, count - from);
    await Promise.all(Array.from({ length: size }, (_, offset) => publish(client, make(from + offset))));
  }
}

/** The bodies of all messages that a stream holds, with their subject and headers, in order. */
export async function readStream(client: Client, stream: string): Promise<StoredMessage[]> {
  const { state } = await client.jsm.streams.info(stream);
  const found: StoredMessage[] = [];
  if (state.messages === 0) return found;
  const consumer = await client.js.consumers.get(stream);
  // A request ends by its time, however much of the stream it has brought by then.
  do {
    const messages = await consumer.fetch({ max_messages: state.messages - found.length, expires: 10_000 });
    for await (const message of messages) {
      const head = Object.fromEntries(
        (message.headers?.keys() ?? []).map((key) => [key, message.headers?.get(key) ?? '']),
      );
      found.push({ subject: message.subject, sequence: message.seq, headers: head, body: message.string() });
      if (found.length === state.messages) break;
    }
    // What was removed meanwhile does not come any more.
  } while (found.length < state.messages && (await consumer.info()).num_pending > 0);
  return found;
}

export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

function encode(body: unknown): string | Uint8Array {
  if (body === undefined) return '';
  return typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
}
