/** Records of writes, in a real stream: what they hold, and what they never do. */
import { expect, it } from 'vitest';
import { pino } from 'pino';
import { Acts } from '../../src/audit/acts.ts';
import { JetStreamPublisher } from '../../src/nats/publish.ts';
import { Wire } from '../../src/nats/wire.ts';
import { auditSpec, ensureOwnStream } from '../../src/reconcile/system-streams.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { connectTo, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { parse } from '../unit/config/helpers.ts';

const SECRET = 'whsec_0123456789abcdef';

it('are stored and logged without the secrets of a target, known or not', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const lines: string[] = [];
  const logger = pino({}, { write: (line) => void lines.push(line) });
  const { config, redact } = parse(
    'version: 1\ntargets: { known: { webhook: { url: "https://partner.example", headers: { x-team: "${TEAM_SECRET}" } } } }\n',
    { env: { TEAM_SECRET: 'known-secret-of-the-team' } },
  );
  const metrics = createMetrics();
  const acts = new Acts({ instance: 'test-1', redact, metrics, logger });
  const publisher = new JetStreamPublisher(client.nc, new Wire(client.nc));
  await acts.connect(publisher, () => ensureOwnStream(client.jsm, auditSpec(config), logger));
  const target = (secret: string) => ({
    webhook: {
      url: `https://ouzel:${SECRET}@partner.example/in`,
      headers: { authorization: `Bearer ${SECRET}`, 'x-team': 'known-secret-of-the-team' },
      sign: { standard: { secrets: [secret] } },
    },
  });
  const entry = { who: 'ci', from: '127.0.0.1', what: 'target.put', resource: 'targets/partner' } as const;
  await acts.record({
    ...entry,
    before: target(SECRET),
    after: target('${file:/run/secret}'),
    outcome: 'done',
    status: 200,
  });
  await acts.record({ ...entry, after: { text: 'x'.repeat(100_000) }, outcome: 'done', status: 200 });
  await acts.record({ ...entry, what: '..a b.*', outcome: 'refused', status: 409, code: 'CONFLICT' });

  const stored = await readStream(client, 'OUZEL_AUDIT');
  expect(stored.map(({ subject }) => subject)).toEqual([
    'ouzel.audit.act.target.put',
    'ouzel.audit.act.target.put',
    expect.stringMatching(/^ouzel\.audit\.act\.[\w.-]+$/) as string,
  ]);
  const [first, second, third] = stored.map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  expect(first).toMatchObject({
    version: 1,
    who: 'ci',
    what: 'target.put',
    before: {
      webhook: {
        url: 'https://***@partner.example/in',
        headers: { authorization: '***', 'x-team': '***' },
        sign: { standard: { secrets: ['***'] } },
      },
    },
    after: { webhook: { sign: { standard: { secrets: ['${file:/run/secret}'] } } } },
    instance: 'test-1',
  });
  expect(stored[0]?.headers['Nats-Msg-Id']).toBe(first?.['id']);
  expect(second?.['after']).toEqual({ left_out: expect.stringMatching(/bytes/) as string });
  expect(third).toMatchObject({ outcome: 'refused', code: 'CONFLICT' });
  for (const secret of [SECRET, 'known-secret-of-the-team']) {
    expect(stored.map(({ body }) => body).join('\n')).not.toContain(secret);
    expect(lines.join('\n')).not.toContain(secret);
  }
  const { config: stream } = await client.jsm.streams.info('OUZEL_AUDIT');
  expect(stream).toMatchObject({ discard: 'old', max_bytes: 33_554_432, max_age: 30 * 86_400 * 1e9 });
  publisher.close();
});

it('that cannot be stored are counted, and are in the log', async () => {
  const lines: string[] = [];
  const metrics = createMetrics();
  const acts = new Acts({
    instance: 'test-1',
    redact: (text) => text,
    metrics,
    logger: pino({}, { write: (line) => void lines.push(line) }),
  });
  await acts.record({
    who: 'ci',
    from: '::1',
    what: 'target.put',
    resource: 'targets/a',
    outcome: 'done',
    status: 200,
  });
  expect(metrics.auditDropped.with('act').value).toBe(1);
  expect(lines.map((line) => JSON.parse(line) as Record<string, unknown>)).toMatchObject([
    { audit: { who: 'ci', resource: 'targets/a' } },
    { code: 'NATS_UNAVAILABLE', stream: 'OUZEL_AUDIT' },
  ]);
});
