/** What can be seen of deliveries to a webhook, through the API and the command. */
import { expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

interface Shown {
  readonly disabled: unknown;
  readonly deliveries: readonly { readonly seq: number; readonly webhook_id: string; readonly answer: string | null }[];
}

test('every attempt is there with its status, its duration and the beginning of its answer', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const target = await startHttpTarget(({ index, headers }) => {
    if (index === 0) return { status: 503, body: `busy; you sent ${headers.authorization}` };
    if (index === 1) return { fault: 'reset' };
    return index === 2 ? { body: 'thank\u0007 you' } : { status: 422, body: 'x'.repeat(5000) };
  });
  const daemon = await startDaemon(
    `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { backoff: { first: 50ms, max: 200ms, jitter: 0 } } }
targets: { partner: { webhook: { url: '${target.url}', allow_private: true, auth: { bearer: s3cret-token } } } }
consumers: { a: { stream: IN, start: all, concurrency: { max: 1 }, deliver: [{ to: partner }] } }
`,
    { server },
  );
  const shown = async (limit = 100): Promise<Shown> =>
    (await (await fetch(`${daemon.http}/api/v1/targets/partner/deliveries?limit=${limit}`)).json()) as Shown;
  expect(await shown()).toEqual({ name: 'partner', disabled: null, deliveries: [] });
  await publish(client, { subject: 'in.a', body: {} });
  await untilEnded(daemon, 'a', 1);
  await publish(client, { subject: 'in.b', body: {} });
  await untilEnded(daemon, 'a', 2);
  // The body of a 2xx comes later than its status.
  await waitFor(async () => (await shown()).deliveries.some(({ answer }) => answer === 'thank you'), {
    what: 'the answer',
  });
  const { deliveries } = await shown();
  const common = { consumer: 'a', route: 'partner', stream: 'IN', at: expect.any(String) as string };
  // What was unavailable has used up no attempt.
  expect(deliveries).toMatchObject([
    {
      ...common,
      seq: 2,
      subject: 'in.b',
      result: 'rejected',
      status: 422,
      attempt: 1,
      error: { code: 'TARGET_REJECTED_FOR_GOOD' },
    },
    {
      ...common,
      seq: 1,
      subject: 'in.a',
      result: 'confirmed',
      status: 200,
      attempt: 1,
      answer: 'thank you',
      error: null,
    },
    {
      ...common,
      seq: 1,
      result: 'unavailable',
      status: null,
      attempt: 1,
      answer: null,
      error: { code: 'TARGET_UNAVAILABLE' },
    },
    { ...common, seq: 1, result: 'unavailable', status: 503, attempt: 1, answer: 'busy; you sent ***' },
  ]);
  expect(deliveries[0]?.answer).toBe(`${'x'.repeat(300)}…`);
  expect(deliveries.map(({ webhook_id: id }) => id)).toEqual(
    target.requests.map(({ headers }) => headers['webhook-id']).toReversed(),
  );
  expect((await shown(1)).deliveries.map(({ seq }) => seq)).toEqual([2]);
  expect((await fetch(`${daemon.http}/api/v1/targets/none/deliveries`)).status).toBe(404);
  expect((await fetch(`${daemon.http}/api/v1/targets/partner/deliveries?limit=101`)).status).toBe(400);

  const { stdout, code } = await runCli(['targets', 'deliveries', 'partner', '--url', daemon.http]);
  expect(code).toBe(0);
  const lines = stdout.trim().split('\n');
  expect(lines).toHaveLength(5);
  expect(lines[0]).toMatch(/^AT +EVENT +ATTEMPT +RESULT +STATUS +MS +ANSWER$/);
  expect(lines[1]).toMatch(/ a IN:1 +1 +unavailable +503 +[\d.]+ +busy; you sent \*\*\*$/);
  expect(lines[2]).toMatch(/ a IN:1 +1 +unavailable +- +[\d.]+ +POST http:/);
  expect(stdout).not.toContain('s3cret');
});
