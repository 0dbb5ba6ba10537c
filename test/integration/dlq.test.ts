/** What a person does with dead letters: finds, mends, re-drives and discards them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Handover, readHandover } from '../../src/core/handover.ts';
import { headerBlock, headerLine } from '../../src/core/headers.ts';
import { MAIN, processEnv, runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { type Client, connectTo, publish, publishMany, readStream } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const MANY = 500;
const UNDECODABLE = 3;
const ENVELOPE = { specversion: '1.0', id: 'c-1', source: '/s', type: 'wrapped', tenant: 't', data: { to: 'a b' } };

/** Consumers that take nothing leave what is handed to them where it can be looked at. */
const config = (paused: boolean): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory, key: event.data.id }
  OUT: { subjects: ["out.>"], storage: memory }
consumers:
  billing:
    stream: EVENTS
    paused: ${paused}
    subjects: [events.orders.created]
    start: all
    pipeline: [{ set: { data.price: "string(event.data.total) + event.data.currency" } }]
    deliver: [{ name: main, to: { publish: { subject: "out.{{ event.data.id }}" } } }]
  large:
    stream: EVENTS
    paused: ${paused}
    subjects: [events.large]
    start: all
    pipeline: [{ set: { data.copy: event.data.gone } }]
  envelopes:
    stream: EVENTS
    paused: ${paused}
    subjects: [events.wrapped]
    start: all
    deliver: [{ name: a, to: { publish: { subject: out.a } } }, { name: b, to: { publish: { subject: "out.{{ event.data.to }}" } } }]
`;

let server: TestServer;
let client: Client;
let daemon: Daemon;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  daemon = await startDaemon(config(false), { server });
  await publishMany(client, MANY, (index) => ({
    subject: 'events.orders.created',
    body: { id: `o-${index}`, total: index },
    id: `m-${index}`,
    headers: { 'X-Index': String(index) },
  }));
  await publishMany(client, UNDECODABLE, () => ({ subject: 'events.orders.created', body: 'no JSON' }));
  await untilEnded(daemon, 'billing', MANY + UNDECODABLE, 60_000);
  await client.js.publish('events.large', JSON.stringify({ id: 'big', filler: 'x'.repeat(1024 * 1024 - 40) }));
  await untilEnded(daemon, 'large', 1);
  await publish(client, { subject: 'events.wrapped', body: ENVELOPE });
  await untilEnded(daemon, 'envelopes', 1);
  await pause(true);
}, 120_000);

/** Lets the consumers take nothing, or everything. */
async function pause(paused: boolean): Promise<void> {
  await daemon.write(config(paused));
  const state = { state: paused ? 'paused' : 'running' };
  await waitFor(async () => (await daemon.total('ouzel_consumer_state', state)) === 3, { what: `paused: ${paused}` });
}

afterAll(async () => {
  await daemon?.kill();
  await client?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

interface Due {
  readonly subject: string;
  readonly id: string;
  readonly body: string;
  readonly size: number;
  readonly handover: Handover;
}

/** What was handed to consumers and is not taken yet. */
async function due(): Promise<Due[]> {
  const found: Due[] = [];
  const { state } = await client.jsm.streams.info('OUZEL_TIMERS');
  for (let seq = state.first_seq; state.messages > 0 && seq <= state.last_seq; seq++) {
    const stored = await client.jsm.streams.getMessage('OUZEL_TIMERS', { seq });
    if (stored === null) continue;
    const lines = [...stored.header].flatMap(([name, values]) => values.map((value) => headerLine(name, value)));
    const handover = readHandover(Buffer.from(headerBlock(lines.join(''))));
    if (handover === undefined) throw new Error(`message ${seq} is no handover`);
    const id = stored.header.get('Nats-Msg-Id');
    const { subject, data } = stored;
    found.push({ subject, id, body: stored.string(), size: data.length, handover });
  }
  return found;
}

const dlq = (...args: readonly string[]) => runCli(['dlq', ...args, '-c', daemon.configFile]);

async function dlqJson(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await dlq(...args, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as Record<string, unknown>;
}

interface Listed {
  readonly groups: readonly Record<string, unknown>[];
  readonly letters: readonly { readonly sequence: number; readonly key?: string }[];
}

/** A request to the daemon. */
async function api(path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) {
  const init =
    body === undefined
      ? { headers }
      : { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } };
  const response = await fetch(`${daemon.http}/api/v1/dead-letters${path}`, init);
  const answer = (await response.json()) as Record<string, unknown>;
  return { status: response.status, type: response.headers.get('content-type'), answer };
}

test('are listed by consumer and reason, with an example of the error, and then one by one', async () => {
  const { code, stdout } = await dlq('list', '--limit', '2');
  expect(code).toBe(0);
  const lines = stdout.split('\n');
  expect(lines[1]).toMatch(/^ +500 +billing +missing_field +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}\d{4}/);
  expect(lines[2]).toMatch(/^ +EVENT_MISSING_FIELD .*currency/);
  expect(stdout).toMatch(/\n +3 +billing +undecodable .*\n +EVENT_UNDECODABLE: not JSON/);
  expect(stdout).toMatch(/\n\n *# +FAILED .*\n504 .* events\.large +.*\n505 .* events\.wrapped .*\n$/);
});

test('are selected by each selector, and all that are given must hold', async () => {
  const list = async (selectors: Readonly<Record<string, string>>): Promise<number> => {
    const { status, answer } = await api(`?${new URLSearchParams({ ...selectors, limit: '1000' }).toString()}`);
    expect(status, JSON.stringify(answer)).toBe(200);
    return (answer as unknown as Listed).letters.length;
  };
  expect(await list({})).toBe(MANY + UNDECODABLE + 2);
  expect(await list({ reason: 'undecodable' })).toBe(UNDECODABLE);
  expect(await list({ consumer: 'large' })).toBe(1);
  expect(await list({ key: 'o-17' })).toBe(1);
  expect(await list({ type: 'orders.*' })).toBe(MANY + UNDECODABLE);
  expect(await list({ type: 'payments.*' })).toBe(0);
  expect(await list({ where: 'event.data.total < 10 && msg.headers["X-Index"] != "3"' })).toBe(9);
  expect(await list({ where: 'event.id == "m-7"' })).toBe(1);
  expect(await list({ since: '1h' })).toBe(MANY + UNDECODABLE + 2);
  expect(await list({ until: '1h' })).toBe(0);
  expect(await list({ since: '2020-01-01T00:00:00Z', reason: 'undecodable', key: 'o-1' })).toBe(0);
  const { letters } = await dlqJson('list', '--where', 'event.data.total == 12', '--consumer', 'billing');
  expect(letters).toMatchObject([{ key: 'o-12', reason: 'missing_field', size: 24 }]);
});

test('are not touched by a command that does not say which, or says it wrongly', async () => {
  const refused = async (args: readonly string[], code: number, message: RegExp): Promise<void> => {
    const result = await dlq(...args);
    expect(result.code, result.stderr).toBe(code);
    expect(result.stderr).toMatch(message);
  };
  await refused(['redrive'], 64, /which dead letters\? Give their numbers, a selector/);
  await refused(['redrive', '--consumer', 'gone'], 1, /no such consumer is configured; there are: billing, large/);
  await refused(['redrive', '--all', '--rate', '50'], 64, /--rate: "50" is no rate/);
  await refused(['redrive', '--all', '--set', 'data.x'], 64, /write path=expression/);
  await refused(['discard', '--all'], 64, /--why/);
  expect(await api('/redrive', { letters: [1], all: true })).toMatchObject({
    status: 400,
    answer: { detail: expect.stringMatching(/one of these and not two/) as string },
  });
  expect(await api('/redrive', { letters: [1, 99999] })).toMatchObject({ status: 404 });
  expect(await due()).toEqual([]);
});

test('are mended only for show in a dry run, and what cannot be mended is said', async () => {
  const dry = await dlq('redrive', '--consumer', 'billing', '--set', 'data.currency="EUR"', '--dry-run');
  expect(dry.code).toBe(1);
  expect(dry.stdout).toContain('1:\n  data.currency: (none) → "EUR"\n');
  expect(dry.stdout).toContain('500 of 503 would be handed over\n3 could not be handed over:\n');
  expect(dry.stdout).toMatch(/\d+: not JSON: /);
  expect(dry.stdout).toContain('A dry run: nothing was done.');
  expect(await due()).toEqual([]);
});

test('are handed to their consumer at a rate, mended, each as its own run', async () => {
  const args = ['redrive', '--consumer', 'billing', '--limit', '40', '--set', 'data.currency="EUR"'];
  const report = await dlqJson(...args, '--rate', '40/s');
  expect(report).toMatchObject({ selected: 40, more: true, handed_over: 40, failed: 0, underway: 0 });
  const handed = await due();
  expect(handed.length).toBe(40);
  const third = handed.find(({ handover }) => handover.letter === 3);
  const letter = await client.jsm.streams.getMessage('OUZEL_DLQ', { seq: 3 });
  const id = JSON.parse(third?.body ?? '{}') as { id: string };
  const index = Number(id.id.slice(2));
  expect(third).toMatchObject({
    subject: 'ouzel.due.billing',
    body: JSON.stringify({ id: id.id, total: index, currency: 'EUR' }),
    handover: {
      stream: 'EVENTS',
      subject: 'events.orders.created',
      run: `redrive-3-${Date.parse(letter?.timestamp ?? '').toString(36)}`,
      record: undefined,
      routes: undefined,
      letter: 3,
      bodyName: undefined,
    },
  });
  const own = Buffer.from(third?.handover.headers ?? '').toString();
  expect(own).toBe(`NATS/1.0\r\nX-Index: ${index}\r\nNats-Msg-Id: m-${index}\r\n\r\n`);
  const source = await client.jsm.streams.getMessage('EVENTS', { seq: third?.handover.position.sequence ?? 0 });
  expect(source?.header.get('Nats-Msg-Id')).toBe(`m-${index}`);
  expect(new Set(handed.map(({ handover }) => handover.run)).size).toBe(40);
  // The letters stay until their runs have an outcome.
  expect((await client.jsm.streams.info('OUZEL_DLQ')).state.messages).toBe(MANY + UNDECODABLE + 2);

  const again = await dlq('redrive', '1', '2', '3');
  expect(again).toMatchObject({ code: 0 });
  expect(again.stdout).toContain('0 of 3 handed over\n3 already being re-driven\n');
  // They are not thrown away under the hands of the consumer either.
  const kept = await dlqJson('discard', '1', '2', '--why', 'not these');
  expect(kept).toMatchObject({ discarded: 0, underway: 2 });
  expect((await due()).length).toBe(40);
});

test('can be re-driven again at once when a run left its letter behind', async () => {
  const [first] = (await due()).filter(({ handover }) => handover.letter === 1);
  // What takes it loses it: the message is gone, the letter is not.
  await client.jsm.streams.purge('OUZEL_TIMERS');
  expect(await dlqJson('redrive', '1')).toMatchObject({ handed_over: 1, underway: 0 });
  const [second] = await due();
  expect(second?.handover.run).toBe(first?.handover.run);
  expect(second?.id).not.toBe(first?.id);
  await client.jsm.streams.purge('OUZEL_TIMERS');
});

test('go only when it is stored who threw them away and why', async () => {
  const left = async (): Promise<number> =>
    ((await api('?reason=undecodable')).answer as unknown as Listed).letters.length;
  const dry = await dlq('discard', '--reason', 'undecodable', '--why', 'a test of ours', '--dry-run');
  expect(dry.stdout).toContain('3 of 3 would be discarded\nA dry run: nothing was done.\n');
  expect(await left()).toBe(UNDECODABLE);

  const done = await dlqJson('discard', '--reason', 'undecodable', '--why', 'a test of ours', '--who', 'ann');
  expect(done).toMatchObject({ selected: UNDECODABLE, discarded: UNDECODABLE });
  expect(await left()).toBe(0);
  const records = (await readStream(client, 'OUZEL_EVENTS')).filter(
    ({ headers }) => headers['ce-type'] === 'dead_letters.discarded',
  );
  expect(records.length).toBe(1);
  expect(records[0]?.subject).toBe('ouzel.events.dead_letters.discarded');
  const data = JSON.parse(records[0]?.body ?? '{}') as { events: unknown[] };
  expect(data).toMatchObject({ who: 'ann', why: 'a test of ours', count: UNDECODABLE, consumers: ['billing'] });
  expect(data.events[0]).toMatchObject({ consumer: 'billing', reason: 'undecodable', stream: 'EVENTS' });

  // The stream refuses: nothing goes.
  const { config } = await client.jsm.streams.info('OUZEL_EVENTS');
  await client.jsm.streams.update('OUZEL_EVENTS', { ...config, max_msg_size: 10 });
  const before = (await client.jsm.streams.info('OUZEL_DLQ')).state.messages;
  const refused = await dlq('discard', '--key', 'o-100', '--why', 'not written down');
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain('publish to ouzel.events.dead_letters.discarded');
  expect((await client.jsm.streams.info('OUZEL_DLQ')).state.messages).toBe(before);
  await client.jsm.streams.update('OUZEL_EVENTS', { ...config, max_msg_size: -1 });
});

test('with a body that is stored apart are handed over with the object, mended ones with another, and discarded with it', async () => {
  const { letters } = (await dlqJson('list', '--consumer', 'large')) as unknown as Listed;
  const number = String(letters[0]?.sequence);
  const objects = async (): Promise<string[]> =>
    (await readStream(client, 'OBJ_OUZEL_BODIES'))
      .filter(({ subject }) => subject.startsWith('$O.OUZEL_BODIES.M.'))
      .map(({ body }) => JSON.parse(body) as { name: string; deleted?: boolean })
      .flatMap(({ name, deleted }) => (deleted === true ? [] : [name]));
  const [own] = await objects();

  await dlqJson('redrive', number);
  const [asItCame] = await due();
  expect(asItCame).toMatchObject({ size: 0, handover: { bodyName: own } });
  await client.jsm.streams.purge('OUZEL_TIMERS');

  await dlqJson('redrive', number, '--set', 'data.gone=1');
  const [mended] = await due();
  expect(mended?.size).toBe(0);
  expect(mended?.handover.bodyName).not.toBe(own);
  expect(await objects()).toContain(mended?.handover.bodyName);
  await client.jsm.streams.purge('OUZEL_TIMERS');

  expect(await dlqJson('discard', number, '--why', 'large')).toMatchObject({ discarded: 1 });
  expect(await objects()).not.toContain(own);
});

test('keep their form when they are mended, and carry only the routes that were not delivered', async () => {
  await dlqJson('redrive', '--consumer', 'envelopes', '--set', 'data.to="b"', '--set', 'data.was=event.data.to');
  const [handed] = (await due()).filter(({ subject }) => subject === 'ouzel.due.envelopes');
  expect(JSON.parse(handed?.body ?? '{}')).toEqual({ ...ENVELOPE, data: { to: 'b', was: 'a b' } });
  expect(handed?.handover.routes).toEqual(['b']);
  await client.jsm.streams.purge('OUZEL_TIMERS');
});

test('are reached over HTTP as by the commands, from this machine alone', async () => {
  const listed = await api('?consumer=billing&key=o-200&limit=5');
  expect(listed).toMatchObject({ status: 200, answer: { groups: [{ count: 1, reason: 'missing_field' }] } });
  const [letter] = (listed.answer as unknown as Listed).letters;
  const shown = await api(`/${letter?.sequence}`);
  expect(shown).toMatchObject({
    status: 200,
    answer: { message_id: 'm-200', run: 'first', body: '{"id":"o-200","total":200}' },
  });

  const traced = { 'Ouzel-Consumer': 'gone', 'Ouzel-Trace': `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01` };
  const other = await publish(client, { subject: 'ouzel.dlq.gone', headers: traced });
  expect(await api(`/${other}`)).toMatchObject({ answer: { consumer: 'gone', trace_id: 'ab'.repeat(16) } });
  expect(await api('/redrive', { letters: [other] })).toMatchObject({ status: 404, answer: { code: 'NOT_FOUND' } });
  await client.jsm.streams.deleteMessage('OUZEL_DLQ', other);

  const set = { 'data.currency': '"EUR"' };
  const dry = await api('/redrive', { key: 'o-200', set, dry_run: true });
  expect(dry).toMatchObject({
    status: 200,
    answer: { handed_over: 1, mended: [{ changes: [{ op: 'add', path: 'data.currency', after: 'EUR' }] }] },
  });
  expect(await due()).toEqual([]);
  expect(await api('/redrive', { key: 'o-200', set })).toMatchObject({ status: 200, answer: { handed_over: 1 } });
  expect((await due()).map(({ handover }) => handover.letter)).toEqual([letter?.sequence]);
  await client.jsm.streams.purge('OUZEL_TIMERS');
  const discarded = await api('/discard', { letters: [letter?.sequence], why: 'over HTTP', who: 'bob' });
  expect(discarded).toMatchObject({ status: 200, answer: { discarded: 1 } });

  const problem = async (path: string, body: unknown, status: number, code: string, detail: RegExp) => {
    const found = await api(path, body);
    expect(found).toMatchObject({ status, answer: { status, code, title: expect.any(String) as string } });
    expect(found.type).toMatch(/^application\/problem\+json/);
    expect(found.answer['detail']).toMatch(detail);
  };
  await problem(`/${letter?.sequence}`, undefined, 404, 'NOT_FOUND', /there is no dead letter/);
  await problem('?colour=red', undefined, 400, 'USAGE', /colour/);
  await problem('/redrive', {}, 400, 'USAGE', /which dead letters/);
  await problem('/redrive', { all: true, nope: 1 }, 400, 'USAGE', /nope/);
  await problem('/redrive', { consumer: 'gone' }, 404, 'NOT_FOUND', /no such consumer/);
  await problem('/discard', { all: true, who: 'ann' }, 400, 'USAGE', /why/);
  const foreign = await api('/redrive', { all: true }, { origin: 'http://elsewhere.example' });
  expect(foreign).toMatchObject({ status: 403, answer: { code: 'FORBIDDEN' } });
});

test('are handed over no further after Ctrl-C, which says how far it came', async () => {
  const args = ['dlq', 'redrive', '--reason', 'missing_field', '--rate', '20/s', '-c', daemon.configFile];
  const child = spawn(process.execPath, [MAIN, ...args], { env: processEnv(), stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  const ended = once(child, 'close') as Promise<[code: number | null]>;
  await waitFor(async () => (await due()).length > 2, { what: 'the first handovers' });
  child.kill('SIGINT');
  const [code] = await ended;
  expect(code).toBe(1);
  const handed = (await due()).length;
  expect(handed).toBeLessThan(MANY - 10);
  expect(stdout).toMatch(/Interrupted\.\n/);
  expect(stdout).toContain(`${handed} of `);
  await client.jsm.streams.purge('OUZEL_TIMERS');
});

test('are gone when their runs have an outcome, and those that fail again are new letters', async () => {
  await pause(false);
  const letterCount = async (): Promise<number> => (await client.jsm.streams.info('OUZEL_DLQ')).state.messages;
  const before = await letterCount();
  const first = (await dlqJson('list', '--consumer', 'billing', '--limit', '1000')) as unknown as Listed;
  const [one, two] = first.letters.map(({ sequence }) => String(sequence));

  const unmended = await dlq('redrive', one ?? '', two ?? '', '--wait');
  expect(unmended).toMatchObject({ code: 1, stderr: '' });
  expect(unmended.stdout).toContain('2 of 2 handed over\n\n0 done, 2 came back as new dead letters\n');
  expect(unmended.stdout).toMatch(/2 came back .*\n.*\n +2 +billing +missing_field /);
  expect(await letterCount()).toBe(before);

  const args = ['redrive', '--consumer', 'billing', '--reason', 'missing_field', '--set', 'data.currency="EUR"'];
  const mended = await dlqJson(...args, '--rate', '400/s', '--wait');
  expect(mended).toMatchObject({ failed: 0, outcome: { came_back: 0, open: 0 } });
  const { handed_over: handed } = mended as { handed_over: number };
  expect(mended['outcome']).toMatchObject({ done: handed });
  expect(handed).toBe(first.letters.length);
  expect(await letterCount()).toBe(before - handed);
  const out = await readStream(client, 'OUT');
  const delivered = out.filter(({ subject }) => subject.startsWith('out.o-'));
  expect(new Set(delivered.map(({ subject }) => subject)).size).toBe(handed);
  expect(delivered.length).toBe(handed);
  for (const { subject, body } of delivered) {
    const total = Number(subject.slice('out.o-'.length));
    expect(JSON.parse(body)).toEqual({ id: `o-${total}`, total, currency: 'EUR', price: `${total}EUR` });
  }
  expect(await due()).toEqual([]);
});
