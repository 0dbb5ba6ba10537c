/** Request and reply with a real server: services that answer, refuse, are away, and come back. */
import { headers as createHeaders, type Msg } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json } }
defaults: { retry: { attempts: 2, backoff: { first: 50ms, max: 200ms, jitter: 0 } } }
`;

/** Answers every request; the service's own headers and errors by what it is asked. */
async function serve(client: Client, subject: string, answer: (message: Msg) => void): Promise<void> {
  client.nc.subscribe(subject, { callback: (error, message) => (error === null ? answer(message) : undefined) });
  await client.nc.flush();
}

test('the reply of a service becomes part of the event, and what it refuses is refused', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  await addStream(client, 'OUT', ['out.>']);
  const yaml = `${HEAD}consumers:
  a:
    stream: IN
    start: all
    pipeline: [{ request: { subject: 'customers.{{ event.data.kind }}', body: '{{ event.data.id }}', into: data.profile, timeout: 300ms } }]
    deliver: [{ to: { publish: { subject: out.a } } }]
`;
  let asked = 0;
  await serve(client, 'customers.get', (message) => {
    asked++;
    const headers = createHeaders();
    const id = message.string();
    if (id === 'gone') {
      headers.set('Nats-Service-Error-Code', '404');
      headers.set('Nats-Service-Error', 'no such customer');
    }
    if (id === 'busy' && asked < 6) headers.set('Nats-Service-Error-Code', '503');
    message.respond(JSON.stringify({ name: `customer ${id}` }), { headers });
  });
  const daemon = await startDaemon(yaml, { server });
  for (const id of ['c-1', 'gone', 'busy']) await publish(client, { subject: 'in.a', body: { kind: 'get', id } });
  const outcomes = await untilEnded(daemon, 'a', 3);
  expect(outcomes).toMatchObject({ delivered: 2, deadLettered: 1 });
  const bodies = (await readStream(client, 'OUT')).map(({ body }) => JSON.parse(body) as object);
  expect(bodies).toEqual([
    { kind: 'get', id: 'c-1', profile: { name: 'customer c-1' } },
    { kind: 'get', id: 'busy', profile: { name: 'customer busy' } },
  ]);
  const [letter] = await readStream(client, 'OUZEL_DLQ');
  expect(letter?.headers).toMatchObject({ 'Ouzel-Reason': 'rejected', 'Ouzel-Attempts': '2' });
  expect(letter?.headers['Ouzel-Error']).toMatch(
    /request to customers\.get: the service answered 404 no such customer/,
  );

  // Nobody answers at first, and then somebody takes too long, before one does.
  await publish(client, { subject: 'in.a', body: { kind: 'late', id: 'c-9' } });
  await waitFor(() => daemon.log().includes('nobody answers to this subject'), { what: 'nobody to answer' });
  let late = 0;
  await serve(client, 'customers.late', (message) => {
    if (++late > 1) message.respond('"late"');
  });
  expect(await untilEnded(daemon, 'a', 4)).toMatchObject({ delivered: 3 });
  expect(daemon.log()).toMatch(/no reply within 300 ms/);
  expect((await readStream(client, 'OUT')).at(-1)?.body).toBe('{"kind":"late","id":"c-9","profile":"late"}');
});

test('a delivery is confirmed by a reply, which becomes a new event', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  await addStream(client, 'CHECKS', ['checks.>']);
  const yaml = `${HEAD}consumers:
  a:
    stream: IN
    start: all
    deliver: [{ to: { request: { subject: orders.check, reply: { publish: { subject: 'checks.{{ event.data.id }}' } } } } }]
`;
  const ids: (string | undefined)[] = [];
  await serve(client, 'orders.check', (message) => {
    ids.push(message.headers?.get('Nats-Msg-Id'));
    message.respond(`{"checked":${message.string()}}`);
  });
  const daemon = await startDaemon(yaml, { server });
  await publish(client, { subject: 'in.a', body: { id: 'o-1' } });
  await untilEnded(daemon, 'a', 1);
  const [check] = await readStream(client, 'CHECKS');
  expect(check).toMatchObject({ subject: 'checks.o-1', body: '{"checked":{"id":"o-1"}}' });
  expect(check?.headers['Nats-Msg-Id']).toBe(`${ids[0]}.reply`);
  expect(await daemon.total('ouzel_deliveries_total', { target: 'request', result: 'confirmed' })).toBe(1);
});
