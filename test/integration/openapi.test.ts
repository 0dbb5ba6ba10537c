/** The OpenAPI document says what the daemon does, in every case that a fuzzer thinks of. */
import { execFile, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { callApi } from '../helpers/api.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { startServer } from '../helpers/server.ts';

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory }
  OUT: { subjects: ["out.>"], storage: memory }
filters: { small: event.data.total < 10 }
targets:
  out: { publish: { subject: out.x } }
consumers:
  file-owned: { stream: EVENTS, deliver: [{ to: log }] }
`;

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, unknown>>;
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly examples?: unknown }>> };
}

test('the document is whole: every reference leads somewhere, every operation has a name and an example of its body', async () => {
  const server = await startServer();
  const daemon = await startDaemon(CONFIG, { server, timeout: 90_000 });
  const { status, body, text } = await callApi<Document>(daemon, 'GET', '/openapi.json');
  expect({ status, openapi: body.openapi }).toEqual({ status: 200, openapi: '3.1.1' });
  const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path = '']) => path);
  expect(references.length).toBeGreaterThan(100);
  for (const path of references) {
    let found: unknown = body;
    for (const key of path.split('/')) found = (found as Record<string, unknown> | undefined)?.[key];
    expect(found, path).toBeDefined();
  }
  const operations = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ at: `${method} ${path}`, ...operation })),
  );
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
  for (const { at, responses, requestBody } of operations) {
    for (const problem of ['400', '401', '403', '429', '500']) expect(responses, at).toHaveProperty(problem);
    if (requestBody !== undefined)
      expect(
        Object.values(requestBody.content).every(({ examples }) => examples !== undefined),
        at,
      ).toBe(true);
  }
  // What an editor knows of a consumer, a client of the API does too.
  expect(JSON.stringify(body.components.schemas['Consumer'])).toContain('"ack_wait"');
}, 120_000);

const SCHEMATHESIS = process.env['SCHEMATHESIS'] ?? 'schemathesis';
const isInstalled = await promisify(execFile)(SCHEMATHESIS, ['--version']).then(
  () => true,
  () => false,
);
/** Cases an operation. */
const CASES = process.env['SCHEMATHESIS_CASES'] ?? '15';

test.skipIf(!isInstalled)(
  'Schemathesis finds no server error and no undocumented answer (skipped without it: pip install schemathesis, or $SCHEMATHESIS)',
  async () => {
    const server = await startServer();
    const daemon = await startDaemon(CONFIG, { server, timeout: 90_000 });
    const settings = fileURLToPath(new URL('../api/schemathesis.toml', import.meta.url));
    const child = spawn(
      SCHEMATHESIS,
      ['--config-file', settings, 'run', `${daemon.http}/api/v1/openapi.json`, '--checks', 'all', '-n', CASES].concat([
        '--phases',
        'examples,coverage,fuzzing',
        '--request-timeout',
        '30',
        '--no-color',
        '--generation-database',
        'none',
      ]),
      { cwd: daemon.directory, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code, output.slice(-20_000)).toBe(0);
    expect((await fetch(`${daemon.http}/readyz`)).status).toBe(200);
    expect(await callApi(daemon, 'GET', '/consumers/file-owned')).toMatchObject({
      status: 200,
      body: { state: 'running' },
    });
  },
  600_000,
);
