/** What the guide to priority and lanes shows, at work, and what `explain`, `show`, `prune` and `validate` say of it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { type HttpAnswer, startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { connectTo, publish } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const GUIDE = join(import.meta.dirname, '..', '..', 'docs', 'guides', 'priority.md');

test('docs/guides/priority.md: who is next, by a head start and by lanes', { timeout: 90_000 }, async () => {
  const guide = await readFile(GUIDE, 'utf8');
  const [billing = '', mail = ''] = [...guide.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = '']) => text);
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  const partner = await startHttpTarget(async (): Promise<HttpAnswer> => {
    await opened;
    return {};
  });
  const server = await startServer();
  const client = await connectTo(server);
  const config = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams: { EVENTS: { subjects: ["events.>"], strip: "events." } }
targets:
  partner: { webhook: { url: '${partner.url}/partner', allow_private: true, headers: { x-n: '{{ event.data.n }}' } } }
  post: { webhook: { url: '${partner.url}/post', allow_private: true, headers: { x-n: '{{ event.data.n }}' } } }
${(billing + mail.replace(/^consumers:\n/, '').replace('to: partner', 'to: post')).replaceAll('max: 16', 'max: 1').replaceAll('stream: EVENTS', 'stream: EVENTS\n    start: all')}`;
  const daemon = await startDaemon(config, { server });
  const send = (subject: string, n: string, vip = false): Promise<number> =>
    publish(client, { subject: `events.${subject}`, body: vip ? { n, vip } : { n } });
  await send('orders.created', 'first');
  await waitFor(() => partner.requests.length === 2, { what: 'the first at work in both' });
  await send('orders.created', 'second');
  await send('orders.cancelled', 'cancelled');
  await send('orders.created', 'vip', true);
  const reset = await send('mail.reset', 'reset');
  for (const consumer of ['billing', 'mail'])
    await waitFor(async () => (await daemon.total('ouzel_events_in_flight', { consumer })) === 5, {
      what: 'all in hand',
    });
  open();
  await untilEnded(daemon, 'billing', 5);
  await untilEnded(daemon, 'mail', 5);
  const order = (at: string): string[] =>
    partner.requests.filter(({ path }) => path === at).map(({ headers }) => String(headers['x-n']));
  expect(order('/partner')).toEqual(['first', 'vip', 'cancelled', 'second', 'reset']);
  expect(order('/post')).toEqual(['first', 'reset', 'second', 'cancelled', 'vip']);

  const file = ['--config', daemon.configFile];
  const cli = async (...args: string[]): Promise<string> => (await runCli([...args, ...file])).stdout;
  const event = join(daemon.directory, 'event.json');
  await writeFile(event, '{"vip":true}');
  const billed = await cli('explain', event, '--consumer', 'billing', '--type', 'orders.created');
  expect(billed).toMatch(/priority +. stands in line as if it had come 1m earlier/);
  expect(await cli('explain', `EVENTS:${reset}`, '--consumer', 'mail')).toMatch(/lane +urgent, weight 9/);
  expect(await cli('explain', event, '--consumer', 'mail', '--type', 'orders.created')).toMatch(/lane +bulk, weight 1/);
  expect(await cli('consumers', 'show', 'mail')).toMatch(
    /lane urgent +mail-urgent, weight 9: 0 pending, 0 ack pending/,
  );
  expect(await cli('validate', '--plan')).toMatch(/mail-urgent/);
  // What is a lane's is no orphan while its consumer is there.
  expect(JSON.parse(await cli('consumers', 'prune', '--dry-run', '--json'))).toMatchObject({ durables: [] });

  // Lanes that leave while nobody runs are found.
  const without = config.replace(/ {4}lanes:\n(?: {6}.*\n)+/, '');
  await daemon.terminate();
  await send('mail.alarm', 'alarm');
  const again = await startDaemon(without, { server });
  await untilEnded(again, 'mail', 1);
  const shown = await fetch(`${again.http}/api/v1/consumers/mail`);
  expect(await shown.json()).toMatchObject({ lanes: [{ name: 'urgent', leaving: true }, { name: 'rest' }] });
  // And go with their consumer.
  await again.terminate();
  await again.write(without.replace(/^ {2}mail:\n(?: {4}.*\n)+/m, ''));
  const pruned = await runCli(['consumers', 'prune', '--yes', '--json', '--config', again.configFile]);
  const { durables } = JSON.parse(pruned.stdout) as { durables: { name: string; stream: string }[] };
  expect(durables.filter(({ stream }) => stream === 'EVENTS').map(({ name }) => name)).toEqual(['mail', 'mail-urgent']);
});
