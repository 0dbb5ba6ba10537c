/** The guide for webhooks that come in, run: what GitHub, Stripe and a service of one's own would do. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { freePort } from '../helpers/ports.ts';
import { connectTo, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { readPage, runSteps } from '../helpers/transcript.ts';

const PAGE = 'webhooks-in.md';
const has = (command: string, ...args: readonly string[]): boolean => spawnSync(command, args).status === 0;

test(`docs/guides/${PAGE} does what it says`, { timeout: 120_000 }, async (context) => {
  if (!has('curl', '--version') || !has('openssl', 'version')) context.skip('curl or openssl is not installed');
  const page = await readPage(fileURLToPath(new URL(`../../docs/guides/${PAGE}`, import.meta.url)));
  const ingress = `127.0.0.1:${await freePort()}`;
  const config = page.config
    .replace('127.0.0.1:9464', '"@HTTP@"')
    .replace('127.0.0.1:8080', `"${ingress}"`)
    .replace('nats://127.0.0.1:4222', '"@NATS@"');
  const server = await startServer();
  const files = {
    'secrets/github': "It's a Secret to Everybody",
    'secrets/stripe-new': 'whsec_new_secret',
    'secrets/stripe-old': 'whsec_old_secret',
    'secrets/shop': 'a-token-of-the-shop-that-is-long-enough',
  };
  const daemon = await startDaemon(config, { server, files, timeout: 60_000 });
  await runSteps(PAGE, page.steps, {
    directory: daemon.directory,
    names: [
      ['127.0.0.1:8080', ingress],
      ['127.0.0.1:9464', daemon.http.replace('http://', '')],
    ],
    nats: () => Promise.reject(new Error('the page has no nats')),
  });
  await using client = await connectTo(server);
  expect((await readStream(client, 'EVENTS')).map(({ subject }) => subject)).toEqual([
    'events.github.push',
    'events.stripe.invoice-paid',
    'events.orders.created',
  ]);
});
