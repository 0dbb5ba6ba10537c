/** Notifications through a real daemon: to HTTP servers that answer as the services do. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { callApi } from '../helpers/api.ts';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { type HttpAnswer, type HttpRequest, startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish, publishMany, readStream } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json, level: debug } }
defaults: { retry: { attempts: 2, backoff: { first: 50ms, max: 2s, jitter: 0 } } }
`;

const documentOf = ({ body }: HttpRequest): Record<string, unknown> => JSON.parse(body) as Record<string, unknown>;

interface Case {
  readonly options: string;
  readonly path: string;
  readonly confirmed: HttpAnswer;
  /** Said of a message that it does not take. */
  readonly refused: HttpAnswer;
  readonly later: HttpAnswer;
  /** Milliseconds that `later` asks to wait. */
  readonly wait: number;
}

const json = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): HttpAnswer => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
});

/** As the services document their answers. */
const CASES: Readonly<Record<string, Case>> = {
  slack: {
    options: 'slack: { url: @URL@/services/T0/B0/s3cret-part }',
    path: '/services/T0/B0/s3cret-part',
    confirmed: { body: 'ok' },
    refused: { status: 400, body: 'invalid_payload' },
    later: { status: 429, headers: { 'retry-after': '1' } },
    wait: 1000,
  },
  discord: {
    options: 'discord: { url: @URL@/api/webhooks/1/s3cret-part }',
    path: '/api/webhooks/1/s3cret-part',
    confirmed: { status: 204 },
    refused: json(400, { message: 'Cannot send an empty message', code: 50006 }),
    later: json(429, { message: 'You are being rate limited.', retry_after: 0.9, global: false }),
    wait: 900,
  },
  teams: {
    options: 'teams: { url: "@URL@/workflows/1?sig=s3cret-part" }',
    path: '/workflows/1?sig=s3cret-part',
    confirmed: { status: 202 },
    refused: { status: 413 },
    later: { status: 429, headers: { 'retry-after': '1' } },
    wait: 1000,
  },
  telegram: {
    options: 'telegram: { token: "123:s3cret-part", chat: -100, url: @URL@ }',
    path: '/bot123:s3cret-part/sendMessage',
    confirmed: json(200, { ok: true, result: {} }),
    refused: json(400, { ok: false, error_code: 400, description: 'Bad Request: chat not found' }),
    later: json(429, { ok: false, error_code: 429, description: 'Too Many Requests', parameters: { retry_after: 1 } }),
    wait: 1000,
  },
  ntfy: {
    options: 'ntfy: { url: @URL@/alerts, token: s3cret-part, priority: high }',
    path: '/',
    confirmed: json(200, { id: 'x' }),
    refused: json(400, { code: 40009, http: 400, error: 'invalid request: topic invalid' }),
    later: json(429, { code: 42901, http: 429, error: 'limit reached' }, { 'retry-after': '1' }),
    wait: 1000,
  },
  pagerduty: {
    options: 'pagerduty: { routing_key: s3cret-part, url: @URL@/v2/enqueue }',
    path: '/v2/enqueue',
    confirmed: json(202, { status: 'success', dedup_key: 'x' }),
    refused: json(400, { status: 'invalid event', errors: ["'routing_key' s3cret-part is invalid"] }),
    later: { status: 429 },
    wait: 0,
  },
};

test.each(Object.entries(CASES))('%s: what it answers means what it says', async (_name, each) => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  let later = 0;
  const target = await startHttpTarget(({ body }) => {
    if (body.includes('bad news')) return each.refused;
    if (body.includes('busy news') && later++ === 0) return each.later;
    return each.confirmed;
  });
  const daemon = await startDaemon(
    `${HEAD}targets:
  people: { notify: { ${each.options.replace('@URL@', target.url)}, message: '{{ event.data.text }}', title: News, allow_private: true } }
consumers:
  a: { stream: IN, start: all, deliver: [{ to: people }] }
`,
    { server },
  );
  for (const text of ['good news', 'bad news', 'busy news']) await publish(client, { subject: 'in.a', body: { text } });
  await untilEnded(daemon, 'a', 3);

  expect(target.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(
    target.requests.map(() => `POST ${each.path}`),
  );
  const of = (text: string): HttpRequest[] => target.requests.filter(({ body }) => body.includes(text));
  expect([of('good news').length, of('bad news').length, of('busy news').length]).toEqual([1, 1, 2]);
  const [first, second] = of('busy news').map(({ at }) => at);
  expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(each.wait * 0.95);
  const letters = await readStream(client, 'OUZEL_DLQ');
  expect(letters.map(({ headers }) => headers['Ouzel-Reason'])).toEqual(['rejected']);
  expect(letters[0]?.headers['Ouzel-Error']).toContain(`POST ${target.url}: answered ${each.refused.status ?? 200}`);

  const tried = await callApi(daemon, 'POST', '/targets/people/test', {
    body: { event: { type: 'x', data: { text: 'a test' } } },
  });
  expect(tried.body).toMatchObject({ confirmed: true });
  expect(of('a test').length).toBe(1);
  const shown = await callApi(daemon, 'GET', '/targets/people');
  expect(shown.status).toBe(200);
  const config = await callApi(daemon, 'GET', '/config');
  for (const text of [shown.text, config.text, daemon.log(), JSON.stringify(letters)])
    expect(text).not.toContain('s3cret');
});

/** What is told, without what changes from run to run. */
const textsOf = (requests: readonly HttpRequest[]): unknown[] =>
  requests.map((request) => String(documentOf(request)['text']).replace(/in \d+ seconds?/, 'in N seconds'));

test('a flood is one message at once, and one that says how many more', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const target = await startHttpTarget();
  const daemon = await startDaemon(
    `${HEAD}targets:
  people:
    notify:
      slack: { url: '${target.url}/x' }
      message: '{{ event.data.who }} fails: {{ event.data.why }}'
      dedupe: { by: event.data.who, within: 10s, show: 3 }
      allow_private: true
consumers:
  a: { stream: IN, start: all, timeout: 1s, deliver: [{ to: people }] }
`,
    { server },
  );
  await publish(client, { subject: 'in.a', body: { who: 'billing', why: 'no. 0' } });
  await target.untilRequests(1);
  await publishMany(client, 499, (index) => ({ subject: 'in.a', body: { who: 'billing', why: `no. ${index + 1}` } }));
  await publish(client, { subject: 'in.a', body: { who: 'shipping', why: 'rain' } });
  await target.untilRequests(2);
  // What is shown at the end waits in hand, for longer than an attempt may take; the others are counted.
  await waitFor(async () => (await daemon.total('ouzel_events_total', { consumer: 'a' })) === 498, {
    timeout: 30_000,
    what: 'all but three to have their outcome',
  });
  expect(await daemon.total('ouzel_events_in_flight', { consumer: 'a' })).toBe(3);
  await untilEnded(daemon, 'a', 501, 30_000);

  const lines = [1, 2, 3].map((each) => `billing fails: no. ${each}`).join('\n');
  expect(textsOf(target.requests)).toEqual([
    'billing fails: no. 0',
    'shipping fails: rain',
    `${lines}\nand 499 more in N seconds`,
  ]);
  expect(await daemon.total('ouzel_deliveries_total', { consumer: 'a', result: 'confirmed' })).toBe(501);
  expect(await readStream(client, 'OUZEL_DLQ')).toEqual([]);
});

test('held-back messages are told when the daemon stops, and nothing is lost when it is killed', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const target = await startHttpTarget();
  const config = `${HEAD}targets:
  people:
    notify:
      slack: { url: '${target.url}/x' }
      message: 'no. {{ event.data.n }}'
      digest: { within: 1h, max: 2 }
      allow_private: true
consumers:
  a: { stream: IN, start: all, ack_wait: 2s, deliver: [{ to: people }] }
`;
  const killed = await startDaemon(config, { server });
  await publish(client, { subject: 'in.a', body: { n: 0 } });
  await target.untilRequests(1);
  await publishMany(client, 2, (index) => ({ subject: 'in.a', body: { n: index + 1 } }));
  await waitFor(async () => (await killed.total('ouzel_events_in_flight', { consumer: 'a' })) === 2, {
    what: 'two to wait in hand',
  });
  await killed.kill();

  const daemon = await startDaemon(config, { server });
  await target.untilRequests(2);
  const told = textsOf(target.requests)[1];
  expect(['no. 1', 'no. 2']).toContain(told);
  await publishMany(client, 3, (index) => ({ subject: 'in.a', body: { n: index + 3 } }));
  // One is told again at once, two wait in hand, and two are counted.
  await waitFor(async () => (await daemon.total('ouzel_events_total', { consumer: 'a' })) === 3, {
    what: 'all but two to have their outcome',
  });
  expect(await daemon.terminate()).toBe(0);
  // Those in hand went back to the server, and are told by whoever has them next: nothing twice, nothing not at all.
  const next = await startDaemon(config.replace(/ +digest: .*\n/, ''), { server });
  await waitFor(async () => (await next.total('ouzel_events_total', { consumer: 'a' })) === 2, {
    what: 'the last two',
  });
  const numbers = target.requests.flatMap((request) =>
    [...String(documentOf(request)['text']).matchAll(/no\. (\d)/g)].map(([, number]) => Number(number)),
  );
  expect(numbers.toSorted((one, other) => one - other)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(target.requests.length).toBe(5);
});

test('what could not be told is told later, with the number of those that were held back', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  let away = false;
  const target = await startHttpTarget(() => ({ status: away ? 503 : 200 }));
  const daemon = await startDaemon(
    `${HEAD}targets:
  people:
    notify:
      slack: { url: '${target.url}/x' }
      message: 'no. {{ event.data.n }}'
      dedupe: { by: event.type, within: 2s, show: 1 }
      allow_private: true
consumers:
  a: { stream: IN, start: all, deliver: [{ to: people }] }
`,
    { server },
  );
  await publish(client, { subject: 'in.a', body: { n: 0 } });
  await target.untilRequests(1);
  away = true;
  await publishMany(client, 5, (index) => ({ subject: 'in.a', body: { n: index + 1 } }));
  await target.untilRequests(2);
  away = false;
  await untilEnded(daemon, 'a', 6, 30_000);
  const numbers = target.requests.flatMap((request) => {
    const [, count] = /and (\d+) more/.exec(String(documentOf(request)['text'])) ?? [];
    return count === undefined ? [] : [Number(count)];
  });
  // The first summary was refused; the event that waited came again, and brought the number of the others along.
  expect(numbers[0]).toBe(5);
  expect(numbers.length).toBeGreaterThan(1);
  expect(numbers.slice(1).reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(4);
});

const SECRETS = {
  slack: 'https://hooks.slack.com/services/s3cret',
  discord: 'https://discord.com/api/webhooks/s3cret',
  teams: 'https://teams.example/?sig=s3cret',
  telegram: '1:s3cret',
  pagerduty: 's3cret',
  smtp: 's3cret',
};

test('the guide: every target that it shows is valid', async () => {
  const guide = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'guides', 'notify.md'), 'utf8');
  const blocks = [...guide.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = '']) => text);
  expect(blocks.length).toBe(2);
  const folder = await temporaryDirectory('guide');
  for (const [name, secret] of Object.entries(SECRETS)) await writeFile(join(folder, name), secret);
  for (const [index, text] of blocks.entries()) {
    const file = join(folder, `${index}.yaml`);
    await writeFile(file, `version: 1\n${text.replaceAll('/run/secrets/', `${folder}/`)}`);
    expect(await runCli(['validate', '--config', file])).toMatchObject({ code: 0 });
  }
});

test('the guide: Slack without a flood', { timeout: 120_000 }, async () => {
  const guide = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'guides', 'notify.md'), 'utf8');
  const [, shown = ''] = /```yaml\n(.*?)```/s.exec(guide) ?? [];
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const slack = await startHttpTarget(() => ({ body: 'ok' }));
  const partner = await startHttpTarget(() => ({ status: 422, body: '<!here> & <!channel>' }));
  const [targets = '', consumers = ''] = shown
    .replace('${file:/run/secrets/slack}', `${slack.url}/services/T0/B0/x`)
    .replace('    notify:\n', '    notify:\n      allow_private: true\n')
    .replace('within: 15m', 'within: 8s')
    .split('consumers:\n');
  const daemon = await startDaemon(
    `${HEAD}${targets}  partner: { webhook: { url: '${partner.url}/in', allow_private: true } }
consumers:
  billing: { stream: IN, start: all, failing: { errors: 3, within: 1m }, deliver: [{ to: partner }] }
${consumers}`,
    { server },
  );
  await publishMany(client, 20, (index) => ({ subject: 'in.a', body: { index } }));
  await untilEnded(daemon, 'billing', 20);
  const [first, last] = await slack.untilRequests(2, 40_000);
  expect(documentOf(first as HttpRequest)['text']).toMatch(
    /^\*(?:dead_letter|consumer\.failing): billing\*\nPOST .*: answered 422 .*: &lt;!here&gt; &amp; &lt;!channel&gt;$/,
  );
  const incidents = (await readStream(client, 'OUZEL_EVENTS')).filter(({ subject }) =>
    /(?:failing|dead_letter|unavailable)$/.test(subject),
  );
  expect(incidents.length).toBeGreaterThan(1);
  const [, more] = /\nand (\d+) more in \d+ seconds$/.exec(String(documentOf(last as HttpRequest)['text'])) ?? [];
  expect(Number(more)).toBe(incidents.length - 1);
});
