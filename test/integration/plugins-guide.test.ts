/** The plugins of the guide, at work in a daemon: in the process, and in threads of their own. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { guidePlugins } from '../helpers/guide.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';

test.each(['', ', isolate: true'])(
  'the plugins of the guide do what it says%s',
  { timeout: 120_000 },
  async (isolate) => {
    const server = await startServer();
    const client = await connectTo(server);
    await addStream(client, 'IN', ['in.>']);
    await addStream(client, 'OUT', ['out.>']);
    let refusals = 1;
    const target = await startHttpTarget(({ path }) => {
      if (path === '/profiles/c%2F7')
        return { body: '{"name":"Ada"}', headers: { 'content-type': 'application/json' } };
      if (path === '/crm') return refusals-- > 0 ? { status: 503 } : { status: 201 };
      return { status: 404 };
    });
    const files = Object.entries(await guidePlugins()).map(([name, text]) => [`plugins/${name}`, text]);
    const plugin = (name: string, options = '{}'): string =>
      `{ plugin: ${name}, allow_private: true, options: ${options}${isolate} }`;
    const daemon = await startDaemon(
      `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json } }
defaults: { timeout: 30s, retry: { attempts: 1, backoff: { first: 50ms, jitter: 0 } } }
plugins: { dir: plugins }
consumers:
  a:
    stream: IN
    start: all
    pipeline:
      - ${plugin('shout')}
      - ${plugin('sample', '{ percent: 100 }')}
      - ${plugin('profile', `{ url: "${target.url}/profiles" }`)}
      - ${plugin('geoip')}
    deliver:
      - to: { publish: { subject: out.a } }
      - to: ${plugin('crm', `{ url: "${target.url}/crm" }`)}
`,
      { server, files: Object.fromEntries(files) as Record<string, string>, timeout: 60_000 },
    );
    await publish(client, { subject: 'in.a', body: { text: 'hey', customer: 'c/7', ip: '81.2.69.160' } });
    await untilEnded(daemon, 'a', 1, 60_000);
    await publish(client, { subject: 'in.a', body: { customer: 'c/7', ip: '2001:218:1::7' } });
    await publish(client, { subject: 'in.a', body: { customer: 'nobody', ip: '192.0.2.1' } });
    expect(await untilEnded(daemon, 'a', 3, 60_000)).toMatchObject({ delivered: 3 });
    const out = (await readStream(client, 'OUT')).map(({ body }) => JSON.parse(body) as Record<string, unknown>);
    const profile = { name: 'Ada' };
    const by = (customer: string, ip: string) => out.find((each) => each['customer'] === customer && each['ip'] === ip);
    expect(by('c/7', '81.2.69.160')).toMatchObject({ text: 'HEY', profile, geo: { country: 'GB', city: 'London' } });
    expect(by('c/7', '2001:218:1::7')).toMatchObject({ profile, geo: { country: 'JP', city: null } });
    expect(by('nobody', '192.0.2.1')).toEqual({ customer: 'nobody', ip: '192.0.2.1', profile: null });
    const asked = target.requests.map(({ path }) => path);
    // The cache: one question for two events. The CRM was away once, and its event came again with the same id.
    expect(asked.filter((path) => path.startsWith('/profiles/c'))).toHaveLength(1);
    const ids = target.requests.filter(({ path }) => path === '/crm').map(({ headers }) => headers['idempotency-key']);
    expect(ids).toHaveLength(4);
    expect(new Set(ids).size).toBe(3);
  },
);
