/**
 * The contract with nats.js beneath its public interface. Where a piece of it is missing, the public interface must do
 * the same on a real server; so every test runs both ways.
 */
import { AckPolicy } from '@nats-io/jetstream';
import { createInbox, headers as createHeaders, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { headerEntries } from '../../src/core/headers.ts';
import { numbersAt, parsePosition } from '../../src/nats/position.ts';
import { headerBytes, replyBytes, subjectNumber, Wire } from '../../src/nats/wire.ts';
import { addStream, type Client, connectTo, publish } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

let server: TestServer;
let client: Client;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
});

afterAll(async () => {
  await client?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

/** The next message on an inbox that something is asked to answer to. */
async function next(inbox: string, ask: () => void): Promise<Msg> {
  const found: Msg[] = [];
  const subscription = client.nc.subscribe(inbox, {
    callback: (_error, message) => {
      // A status (a heartbeat, an end of a request) is no message.
      if ((message.headers?.code ?? 0) === 0) found.push(message);
    },
  });
  ask();
  await waitFor(() => found.length > 0, { what: `a message on ${inbox}` });
  subscription.unsubscribe();
  return found[0] as Msg;
}

const pull = async (stream: string, durable: string): Promise<Msg> => {
  const inbox = createInbox();
  const request = JSON.stringify({ batch: 1, expires: 9_000_000_000 });
  return next(inbox, () =>
    client.nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`, request, { reply: inbox }),
  );
};

const deliveriesOf = (reply: Uint8Array): number => parsePosition(reply, numbersAt(reply)).deliveries;

describe('what is used beneath the public interface is there', () => {
  test('of the connection: the protocol, with connected and sendCommand', () => {
    const { protocol } = client.nc as unknown as { protocol: Record<string, unknown> };
    expect(protocol['connected']).toBe(true);
    expect(protocol['sendCommand']).toBeTypeOf('function');
  });

  test('of a message: the bytes of subject and reply, and the length of its headers', async () => {
    const inbox = createInbox();
    const head = createHeaders();
    head.append('X-One', '1');
    head.append('X-One', 'zwei: ü');
    const subject = `${inbox}.4711`;
    const full = await next(`${inbox}.*`, () =>
      client.nc.publish(subject, 'body', { headers: head, reply: 'answer.here' }),
    );
    const raw = full as unknown as {
      _msg: { subject: Uint8Array; reply: Uint8Array; hdr: number };
      _rdata: Uint8Array;
    };
    expect(Buffer.from(raw._msg.subject).toString()).toBe(subject);
    expect(Buffer.from(raw._msg.reply).toString()).toBe('answer.here');
    expect(Buffer.from(raw._rdata.subarray(0, raw._msg.hdr)).toString()).toMatch(/^NATS\/1\.0\r\n(?:.+\r\n)+\r\n$/);
    const bare = await next(inbox, () => client.nc.publish(inbox, ''));
    const { hdr } = (bare as unknown as { _msg: { hdr: number } })._msg;
    expect(hdr <= 0).toBe(true);
  });
});

/** A message as a nats.js without the insides would hand it over. */
const publicly = ({ subject, reply, headers, data }: Msg): Msg => ({ subject, reply, headers, data }) as Msg;

/** A connection without its protocol. */
const withoutProtocol = (connection: NatsConnection): NatsConnection =>
  new Proxy(connection, {
    get: (target, name) => {
      if (name === 'protocol') return undefined;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });

const PATHS = [
  { path: 'beneath', seen: (message: Msg) => message, wire: () => new Wire(client.nc) },
  { path: 'public', seen: publicly, wire: () => new Wire(withoutProtocol(client.nc)) },
] as const;

describe.each(PATHS)('$path', ({ path, seen, wire: make }) => {
  const stream = path.toUpperCase();

  beforeAll(async () => addStream(client, stream, [`${path}.>`]));

  /** A durable of its own with one event to hand out. */
  async function durable(name: string, ackWait = 60): Promise<() => Promise<Msg>> {
    await client.jsm.consumers.add(stream, {
      durable_name: name,
      ack_policy: AckPolicy.Explicit,
      ack_wait: ackWait * 1_000_000_000,
      filter_subject: `${path}.${name}`,
    });
    await publish(client, { subject: `${path}.${name}`, body: { name } });
    return async () => seen(await pull(stream, name));
  }

  const info = (name: string) => client.jsm.consumers.info(stream, name);

  test('reads reply, headers and the number of a subject', async () => {
    const inbox = createInbox();
    const head = createHeaders();
    for (const value of ['1', 'zwei: ü']) head.append('X-One', value);
    head.set('Nats-Msg-Id', 'a');
    const message = seen(
      await next(`${inbox}.*`, () =>
        client.nc.publish(`${inbox}.4711`, 'body', { headers: head, reply: 'answer.here' }),
      ),
    );
    expect(Buffer.from(replyBytes(message)).toString()).toBe('answer.here');
    const entries = headerEntries(headerBytes(message) ?? new Uint8Array(0)).map((entry) => entry.join('='));
    expect(entries.toSorted()).toEqual(['Nats-Msg-Id=a', 'X-One=1', 'X-One=zwei: ü']);
    expect(subjectNumber(message)).toBe(4711);
    expect(Buffer.from(message.data).toString()).toBe('body');
    const bare = seen(await next(`${inbox}.x`, () => client.nc.publish(`${inbox}.x`, '')));
    expect([replyBytes(bare).length, headerBytes(bare), subjectNumber(bare)]).toEqual([0, undefined, -1]);
  });

  test('acks', async () => {
    const take = await durable('acked');
    const wire = make();
    expect(wire.connected).toBe(true);
    wire.ack(replyBytes(await take()));
    await waitFor(async () => (await info('acked')).num_ack_pending === 0, { what: 'the ack to arrive' });
    expect((await info('acked')).ack_floor.consumer_seq).toBe(1);
  });

  test('naks, at once and with a delay', async () => {
    const take = await durable('refused');
    const wire = make();
    const first = await take();
    wire.nak(replyBytes(first), 0);
    const second = await take();
    expect(deliveriesOf(replyBytes(second))).toBe(2);
    const began = Date.now();
    wire.nak(replyBytes(second), 400);
    const third = await take();
    expect(deliveriesOf(replyBytes(third))).toBe(3);
    expect(Date.now() - began).toBeGreaterThanOrEqual(390);
    wire.ack(replyBytes(third));
    await waitFor(async () => (await info('refused')).num_ack_pending === 0, { what: 'the ack to arrive' });
  });

  test('says that it is still at it', async () => {
    const take = await durable('working', 1);
    const wire = make();
    const reply = replyBytes(await take());
    const until = Date.now() + 3000;
    await waitFor(
      () => {
        wire.working(reply);
        return Date.now() > until;
      },
      { every: 100, what: 'three times ack_wait' },
    );
    expect(await info('working')).toMatchObject({ num_ack_pending: 1, num_redelivered: 0 });
    wire.ack(reply);
    await waitFor(async () => (await info('working')).num_ack_pending === 0, { what: 'the ack to arrive' });
  });

  test('publishes with headers, text and bytes, in order, and gets a PubAck', async () => {
    const wire = make();
    const inbox = createInbox();
    const answers: string[] = [];
    const subscription = client.nc.subscribe(`${inbox}.*`, {
      callback: (_error, message) => void answers.push(`${subjectNumber(seen(message))} ${message.string()}`),
    });
    await client.nc.flush();
    const bytes = Buffer.from([0, 13, 10, 255, 80, 85, 66]);
    const large = Buffer.alloc(200_000, 'x');
    const bodies = ['', 'größer\r\n', bytes, large];
    const headers = 'NATS/1.0\r\nX-One: 1\r\nX-One: zwei: ü\r\nNats-Msg-Id: ID\r\n\r\n';
    bodies.forEach((body, index) =>
      wire.publish(`${path}.published`, `${inbox}.${index}`, headers.replace('ID', `${path}-${index}`), body),
    );
    await waitFor(() => answers.length === bodies.length, { what: 'four PubAcks' });
    subscription.unsubscribe();
    expect(answers.map((answer) => answer.slice(0, 1))).toEqual(['0', '1', '2', '3']);
    for (const answer of answers) expect(JSON.parse(answer.slice(2))).toMatchObject({ stream });
    const { state } = await client.jsm.streams.info(stream, { subjects_filter: `${path}.published` });
    const last = state.last_seq;
    for (const [index, body] of bodies.entries()) {
      const stored = await client.jsm.streams.getMessage(stream, { seq: last - bodies.length + 1 + index });
      expect(Buffer.from(stored?.data ?? []).equals(Buffer.from(body)), `body ${index}`).toBe(true);
      expect(stored?.header.values('X-One')).toEqual(['1', 'zwei: ü']);
      expect(stored?.header.get('Nats-Msg-Id')).toBe(`${path}-${index}`);
    }
  });

  test('publishes without a reply', async () => {
    const wire = make();
    const subject = createInbox();
    const message = seen(await next(subject, () => wire.publish(subject, '', 'NATS/1.0\r\nX-A: b\r\n\r\n', 'x')));
    expect(replyBytes(message).length).toBe(0);
    expect(message.headers?.get('X-A')).toBe('b');
  });
});
