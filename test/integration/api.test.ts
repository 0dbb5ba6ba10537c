/** The API: what is configured is shown and changed, and nothing that is secret is said. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiOptions, callApi } from '../helpers/api.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { type Client, connectTo, publishMany, readStream } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const SECRETS = ['env-secret-value-22', 'literal-secret-1', 'hunter2-secret', 'query-secret-3', 'fleet-secret-4'];

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory }
  OUT: { subjects: ["out.>"], storage: memory }
filters: { small: event.data.n < 3 }
targets:
  partner:
    webhook:
      url: "https://user:hunter2-secret@partner.example/in?token=query-secret-3"
      headers: { authorization: "Bearer literal-secret-1", x-team: "\${TEAM_TOKEN}" }
consumers:
  file-owned: { stream: EVENTS, deliver: [{ to: log }] }
`;

let server: TestServer;
let client: Client;
let a: Daemon;
let b: Daemon;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  const env = { TEAM_TOKEN: 'env-secret-value-22' };
  [a, b] = await Promise.all([
    startDaemon(CONFIG, { server, env, timeout: 90_000 }),
    startDaemon(CONFIG, { server, env, timeout: 90_000 }),
  ]);
}, 120_000);

afterAll(async () => {
  await Promise.all([a?.kill(), b?.kill()]);
  await client?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

const call = (method: string, path: string, options?: ApiOptions) => callApi(a, method, path, options);
const PATCH = { 'content-type': 'application/merge-patch+json' };

test('a consumer is made, runs on the fleet, is changed, paused and removed; that of the file is untouched', async () => {
  const spec = {
    stream: 'EVENTS',
    start: 'all',
    pipeline: [{ filter: 'event.data.n > 5' }],
    deliver: [{ to: { publish: { subject: 'out.api' } } }],
  };
  const before = (await call('GET', '/consumers/file-owned')).body;
  const made = await call('PUT', '/consumers/api-made', { body: spec });
  expect({ status: made.status, location: made.headers.get('location') }).toEqual({
    status: 201,
    location: '/api/v1/consumers/api-made',
  });
  expect(made.body).toMatchObject({
    name: 'api-made',
    owner: 'fleet',
    state: 'running',
    config: spec,
    text: JSON.stringify(spec),
  });
  expect(made.headers.get('etag')).toBe(made.body['etag']);
  await waitFor(async () => (await callApi(b, 'GET', '/consumers/api-made')).body['state'] === 'running', {
    what: 'the other instance to run it',
  });

  await publishMany(client, 10, (n) => ({ subject: 'events.t', body: { n } }));
  const total = (): Promise<number[]> =>
    Promise.all([a, b].map((daemon) => daemon.total('ouzel_events_total', { consumer: 'api-made' })));
  await waitFor(async () => (await total()).reduce((sum, each) => sum + each) === 10, { what: '10 outcomes' });
  expect(await readStream(client, 'OUT')).toHaveLength(4);

  const patched = await call('PATCH', '/consumers/api-made', {
    body: { pipeline: [{ filter: 'event.data.n > 8' }], start: null },
    headers: { ...PATCH, 'if-match': made.headers.get('etag') ?? '' },
  });
  expect(patched).toMatchObject({ status: 200, body: { config: { pipeline: [{ filter: 'event.data.n > 8' }] } } });
  expect(patched.body['config']).not.toHaveProperty('start');

  const paused = await call('POST', '/consumers/api-made/pause', { body: { why: 'a test' } });
  expect(paused).toMatchObject({ status: 200, body: { state: 'paused', paused: true, pause: { by: 'local' } } });
  await waitFor(async () => (await callApi(b, 'GET', '/consumers/api-made')).body['state'] === 'paused', {
    what: 'the other instance to pause it',
  });
  expect(await call('POST', '/consumers/api-made/resume')).toMatchObject({
    status: 200,
    body: { pause: null, paused: false },
  });

  const list = (await call('GET', '/consumers')).body as { consumers: { name: string; owner: string }[] };
  expect(list.consumers.map(({ name, owner }) => `${name} ${owner}`)).toEqual(['api-made fleet', 'file-owned file']);
  expect(await call('DELETE', '/consumers/api-made')).toMatchObject({ status: 204, text: '' });
  await waitFor(async () => (await callApi(b, 'GET', '/consumers/api-made')).status === 404, { what: 'it to be gone' });
  const after = (await call('GET', '/consumers/file-owned')).body;
  expect({ ...after, config_revision: before['config_revision'], etag: before['etag'] }).toMatchObject({
    state: 'running',
    config_revision: after['config_revision'],
    etag: after['etag'],
  });
  await untilEnded(b, 'file-owned', await b.total('ouzel_events_total', { consumer: 'file-owned' }));
});

test('what a file has is not changed here, and the answer names the place', async () => {
  for (const [method, options] of [
    ['PUT', { body: { stream: 'EVENTS' } }],
    ['PATCH', { body: { paused: true }, headers: PATCH }],
    ['DELETE', {}],
  ] as const) {
    const answer = await call(method, '/consumers/file-owned', options);
    expect(answer).toMatchObject({
      status: 409,
      type: 'application/problem+json',
      body: { code: 'CONFIG_OWNED_BY_FILE' },
    });
    expect(answer.body['detail']).toContain('ouzel.yaml:15:3');
  }
});

test('what is wrong with a resource is said with places and carets, and is stored nowhere', async () => {
  const yaml = 'stream: EVENTS\npipeline:\n  - filter: event.data.n >\n';
  const { status, type, body } = await call('PUT', '/consumers/wrong', { body: yaml });
  expect({ status, type }).toEqual({ status: 422, type: 'application/problem+json' });
  expect(body['problems']).toMatchObject([
    {
      code: 'CONFIG_EXPRESSION',
      path: 'consumers.wrong.pipeline[0].filter',
      place: { file: 'fleet:consumers/wrong', line: 3 },
      excerpt: expect.stringMatching(/event\.data\.n >\n +\^$/) as string,
    },
  ]);
  expect(body['detail']).toContain('fleet:consumers/wrong:3:');
  expect(await call('GET', '/consumers/wrong')).toMatchObject({ status: 404 });
  expect(await call('GET', '/config/consumers/wrong/history')).toMatchObject({ status: 404 });
  const nowhere = await call('PUT', '/consumers/wrong', { body: { stream: 'NOWHERE' } });
  expect(nowhere).toMatchObject({ status: 422, body: { code: 'STREAM_NOT_FOUND' } });
});

test('a condition that does not hold changes nothing', async () => {
  const put = (body: string, headers: Record<string, string> = {}) => call('PUT', '/filters/cond', { body, headers });
  const first = await put('event.data.n > 1\n', { 'if-none-match': '*' });
  expect(first.status).toBe(201);
  const etag = first.headers.get('etag') ?? '';
  expect(await put('event.data.n > 2\n', { 'if-none-match': '*' })).toMatchObject({
    status: 412,
    body: { code: 'CONFLICT' },
  });
  const second = await put('event.data.n > 2\n', { 'if-match': `"x", ${etag}` });
  expect(second.status).toBe(200);
  for (const stale of [etag, `W/${second.headers.get('etag')}`, '"file-0"'])
    expect(await put('event.data.n > 3\n', { 'if-match': stale })).toMatchObject({ status: 412 });
  expect(await put('event.data.n > 3\n', { 'if-match': '*' })).toMatchObject({ status: 200 });
  expect(await put('event.data.n > 3\n', { 'if-match': 'no tag' })).toMatchObject({ status: 412 });
  expect(await call('DELETE', '/filters/cond', { headers: { 'if-match': etag } })).toMatchObject({ status: 412 });
  expect((await call('GET', '/filters/cond')).body['config']).toBe('event.data.n > 3');
  expect(await call('DELETE', '/filters/cond')).toMatchObject({ status: 204 });
  expect(await call('PUT', '/filters/cond', { body: 'true', headers: { 'if-match': '*' } })).toMatchObject({
    status: 412,
  });
  const { revisions } = (await call('GET', '/config/filters/cond/history')).body as {
    revisions: { text: string | null }[];
  };
  expect(revisions.map(({ text }) => text)).toEqual([
    null,
    'event.data.n > 3\n',
    'event.data.n > 2\n',
    'event.data.n > 1\n',
  ]);
});

test('patches of many at once all take effect', async () => {
  expect((await call('PUT', '/transformers/many', { body: '# kept\nset:\n  data.a: "1"\n' })).status).toBe(201);
  const names = ['b', 'c', 'd'];
  const answers = await Promise.all(
    names.map((name, index) =>
      callApi(index === 1 ? b : a, 'PATCH', '/transformers/many', {
        body: { set: { [`data.${name}`]: '2' } },
        headers: PATCH,
      }),
    ),
  );
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
  await waitFor(
    async () => {
      const { body } = await call('GET', '/transformers/many');
      return (
        Object.keys((body['config'] as { set: object }).set).length === 4 && String(body['text']).startsWith('# kept')
      );
    },
    { what: 'all patches to be there, and the comment' },
  );
  expect((await call('DELETE', '/transformers/many')).status).toBe(204);
});

test('many resources are applied at once, with a diff, or none of them', async () => {
  const resources = [
    { section: 'consumers', name: 'applied', text: 'stream: EVENTS\npipeline: [wide]\n' },
    { section: 'filters', name: 'wide', text: 'event.data.n > 0\n' },
  ];
  const apply = (body: object) => call('POST', '/config/apply', { body });
  const dry = await apply({ resources, dry_run: true });
  expect(dry).toMatchObject({
    status: 200,
    body: {
      dry_run: true,
      consumers: null,
      resources: [{ action: 'made', before: null, after: resources[0]?.text }, { action: 'made' }],
    },
  });
  expect(await call('GET', '/filters/wide')).toMatchObject({ status: 404 });
  expect(await apply({ resources })).toMatchObject({ status: 200, body: { consumers: { added: ['applied'] } } });
  const again = await apply({ resources, prune: true });
  expect(again.body['resources']).toMatchObject([{ action: 'unchanged' }, { action: 'unchanged' }]);
  const refused = await apply({ resources: resources.slice(0, 1), prune: true });
  expect(refused).toMatchObject({ status: 422, body: { code: 'CONFIG_UNKNOWN_NAME' } });
  expect((await call('GET', '/filters/wide')).status).toBe(200);
  const pruned = await apply({ resources: [], prune: true });
  expect(pruned.body['resources']).toMatchObject([
    { section: 'consumers', name: 'applied', action: 'removed', after: null },
    { section: 'filters', name: 'wide', action: 'removed' },
  ]);
  expect(await apply({ resources: [resources[1], resources[1]] })).toMatchObject({ status: 422 });
});

test('no answer holds a secret, wherever it stands', async () => {
  const yaml = [
    '# for a partner',
    'webhook:',
    '  url: https://me:fleet-secret-4@partner.example/in',
    '  headers: { x-api-key: fleet-secret-4, x-team: "${TEAM_TOKEN}" }',
    '',
  ].join('\n');
  const texts: string[] = [];
  const seen = async (method: string, path: string, options?: ApiOptions) => {
    const answer = await call(method, path, options);
    texts.push(answer.text);
    return answer;
  };
  const made = await seen('PUT', '/targets/hidden', { body: yaml });
  expect(made).toMatchObject({
    status: 201,
    body: { config: { webhook: { headers: { 'x-api-key': '***', 'x-team': '***' } } } },
  });
  // Where a secret is to be found is no secret.
  expect(made.body['text']).toContain('x-team: "${TEAM_TOKEN}"');
  expect(made.body['text']).toContain('# for a partner');
  await seen('PATCH', '/targets/hidden', { body: { timeout: '3s' }, headers: PATCH });
  const back = await seen('PUT', '/targets/hidden', { body: made.body['text'] });
  expect(back).toMatchObject({ status: 422, body: { code: 'CONFIG_INVALID_VALUE' } });
  await seen('PUT', '/targets/hidden', { body: yaml.replace('webhook:', 'webhok:') });
  await seen('PUT', '/targets/hidden', { body: yaml.replace('url: https:', 'url: nothttp:') });
  await seen('GET', '/targets');
  await seen('GET', '/targets/hidden');
  await seen('GET', '/targets/partner');
  await seen('GET', '/config');
  await seen('GET', '/status');
  await seen('GET', '/config/targets/hidden/history');
  await seen('POST', '/config/apply', { body: { resources: [], prune: true, dry_run: true } });
  await seen('DELETE', '/targets/hidden');
  for (const secret of SECRETS)
    for (const text of texts) expect(text.includes(secret), `${secret} in ${text}`).toBe(false);
  expect(texts.join('\n')).not.toMatch(/<secret /);
});

test('everything that is wrong with a request is a problem of its own', async () => {
  const json = { 'content-type': 'application/json' };
  const cases: readonly [string, string, ApiOptions, number][] = [
    ['GET', '/nothing', {}, 404],
    ['POST', '/consumers', {}, 405],
    ['GET', '/consumers?x=1', {}, 400],
    ['GET', '/%zz', {}, 400],
    ['GET', '/consumers/none', {}, 404],
    ['GET', '/consumers/constructor', {}, 404],
    ['GET', '/consumers/a.b', {}, 400],
    ['PUT', '/filters/x', { body: 'x', headers: { 'content-type': 'text/plain' } }, 415],
    ['PUT', '/filters/x', { body: '{', headers: json }, 400],
    ['PUT', '/filters/x', { headers: json }, 400],
    ['PUT', '/filters/x', { body: '"'.padEnd(300_000, 'x'), headers: json }, 413],
    ['PUT', '/filters/__proto__', { body: 'true' }, 400],
    ['PUT', '/filters/constructor', { body: 'true' }, 422],
    ['PUT', '/filters/x', { body: '['.repeat(100_000), headers: json }, 400],
    ['PUT', '/filters/x', { body: '['.repeat(2000) }, 422],
    ['DELETE', '/filters/x', { body: '{}', headers: json }, 400],
    ['DELETE', '/filters/x', {}, 404],
    ['PATCH', '/filters/x', { body: 'null', headers: PATCH }, 404],
    ['POST', '/config/apply', { body: { resources: [], more: 1 } }, 400],
    ['GET', '/dead-letters?limit=0', {}, 400],
    ['GET', '/dead-letters/0x1', {}, 404],
    ['GET', '/dead-letters/redrive', {}, 405],
  ];
  for (const [method, path, options, status] of cases) {
    const answer = await call(method, path, options);
    expect({ at: `${method} ${path}`, status: answer.status, type: answer.type }).toEqual({
      at: `${method} ${path}`,
      status,
      type: 'application/problem+json',
    });
    expect(answer.body).toMatchObject({
      type: 'about:blank',
      status,
      code: expect.stringMatching(/^[A-Z_]+$/) as string,
      detail: expect.stringMatching(/./) as string,
    });
  }
  expect((await call('POST', '/consumers')).headers.get('allow')).toBe('GET, HEAD');
});
