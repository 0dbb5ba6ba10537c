/** What the guide to webhooks shows, at work: an order to a partner, signed, shaped and with a token. */
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { connectTo, publish } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const GUIDE = join(import.meta.dirname, '..', '..', 'docs', 'guides', 'webhooks.md');

/** Lines of options, as deep as those of a webhook stand. */
const asOptions = (block: string): string => block.replace(/^(?=.)/gm, '      ');

test('docs/guides/webhooks.md: to a partner, signed, shaped, with a token, until it is gone', async () => {
  const guide = await readFile(GUIDE, 'utf8');
  const [first = '', body = '', sign = '', auth = ''] = [...guide.matchAll(/```yaml\n(.*?)```/gs)].map(
    ([, text = '']) => text,
  );
  let gone = false;
  const partner = await startHttpTarget(({ path }) => {
    if (path === '/oauth/token') return { body: '{"access_token":"t-1","token_type":"Bearer","expires_in":3600}' };
    return gone ? { status: 410, body: 'moved on' } : { status: 202, body: 'thanks' };
  });
  const [target = '', consumers = ''] = first
    .replace('https://partner.example', partner.url)
    .replace('webhook:\n', 'webhook:\n      allow_private: true\n')
    .split(/^consumers:\n/m);
  const shaped = target
    .replace(/^targets:\n {2}partner:/, '  shaped:')
    .replace(/^.*headers:.*\n/m, '')
    .concat(asOptions(body), asOptions(auth.replace('https://login.partner.example', partner.url)));
  const config = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams: { EVENTS: { subjects: ["events.>"], strip: "events." } }
${target}${asOptions(sign)}${shaped}consumers:
${consumers.replace('[{ to: partner }]', '[{ to: partner }, { to: shaped }]')}`;
  const secret = Buffer.alloc(32, 'a secret of the partner');
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(config.replaceAll('/run/secrets/', 'secrets/'), {
    server,
    files: {
      'secrets/partner': `whsec_${secret.toString('base64')}`,
      'secrets/partner-client': 'client-secret',
    },
  });
  await publish(client, { subject: 'events.orders.created', body: { id: 'o/1', total: 12.5 } });
  await untilEnded(daemon, 'orders', 1);

  const [signed, ...others] = partner.requests.filter(({ headers }) => headers['webhook-signature'] !== undefined);
  expect(others).toEqual([]);
  expect(signed?.path).toBe('/orders/o%2F1');
  expect(JSON.parse(signed?.body ?? '')).toMatchObject({ type: 'orders.created', data: { id: 'o/1', total: 12.5 } });
  const of = (name: string): string => String(signed?.headers[name]);
  const expected = createHmac('sha256', secret).update(
    `${of('webhook-id')}.${of('webhook-timestamp')}.${signed?.body}`,
  );
  expect(of('webhook-signature')).toBe(`v1,${expected.digest('base64')}`);
  expect(of('content-type')).toMatch('application/cloudevents+json');
  expect(of('user-agent')).toMatch(/^ouzel\//);

  const [plain] = partner.requests.filter(({ headers }) => headers.authorization === 'Bearer t-1');
  expect(JSON.parse(plain?.body ?? '')).toEqual({ text: 'Order o/1', total: 12.5 });

  const api = ['--url', daemon.http];
  const { stdout } = await runCli(['targets', 'deliveries', 'partner', ...api]);
  expect(stdout).toMatch(/202.*thanks/);

  gone = true;
  await publish(client, { subject: 'events.orders.created', body: { id: 'o-2', total: 1 } });
  await waitFor(() => /disabled/.test(daemon.log()), { what: 'the target to be disabled' });
  gone = false;
  for (const name of ['partner', 'shaped']) await runCli(['targets', 'enable', name, ...api]);
  expect(await untilEnded(daemon, 'orders', 2)).toMatchObject({ delivered: 2, deadLettered: 0 });
}, 120_000);
