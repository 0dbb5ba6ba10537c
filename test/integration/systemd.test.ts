/** The unit, as systemd itself judges it, and what the daemon tells a service manager. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { noNotify, startNotifyReceiver } from '../helpers/notify-receiver.ts';
import { connectTo, publish } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const noAnalyze = await promisify(execFile)('systemd-analyze', ['--version']).then(
  () => undefined,
  () => 'no systemd-analyze in PATH',
);
const notThere = await noNotify();
const because = (reason: string | undefined): string => (reason === undefined ? '' : `: ${reason}`);

test.skipIf(noAnalyze !== undefined)(`the unit is valid and keeps much out${because(noAnalyze)}`, async () => {
  const file = join(await temporaryDirectory('unit'), 'ouzel.service');
  const unit = await readFile(join(ROOT, 'config', 'systemd', 'ouzel.service'), 'utf8');
  // What it starts must be there; here, that is this checkout.
  await writeFile(file, unit.replaceAll('/opt/ouzel', ROOT));
  const analyze = (...args: string[]) => promisify(execFile)('systemd-analyze', args);
  expect(await analyze('verify', '--man=no', file)).toEqual({ stdout: '', stderr: '' });
  // 10 is a service without any protection; beyond the threshold, the command fails.
  const { stdout } = await analyze('security', '--offline=true', '--threshold=20', file);
  expect(stdout).toContain('Overall exposure level for ouzel.service');
});

const CONFIG = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json } }
streams: { EV: { subjects: ["ev.>"], storage: memory } }
consumers:
  hung: { stream: EV, start: all, pipeline: [{ plugin: hang }] }
`;
/** Holds the loop for as long as the event says, and says when that was, by the clock that the receiver has too. */
const HANG = `import { defineTransformer, z } from 'ouzel';
export const hang = defineTransformer({
  options: z.object({}),
  setup: () => (event) => {
    const now = () => Number(process.hrtime.bigint()) / 1e6;
    const from = now();
    while (now() < from + event.get('data.milliseconds'));
    console.log(JSON.stringify({ hung: { from, to: now() } }));
  },
});
`;

test.skipIf(notThere !== undefined)(
  `the notify protocol${because(notThere)}`,
  async () => {
    await using server = await startServer();
    await using receiver = await startNotifyReceiver();
    // A sign of life a second: half of what is allowed.
    const env = { NOTIFY_SOCKET: receiver.path, WATCHDOG_USEC: '2000000' };
    const files = { 'plugins/hang.ts': HANG };
    const yaml = `${CONFIG}plugins: { dir: plugins }\n`;
    await using daemon = await startDaemon(yaml, { server, env, files });
    const said = (variable: string): number[] =>
      receiver.notifications.filter(({ variables }) => variable in variables).map(({ at }) => at);
    await receiver.until('READY', '1');
    await receiver.until('STATUS', 'Consumers: 1 running');
    await receiver.until('WATCHDOG', '1');

    const beforeReload = receiver.notifications.length;
    const asked = Number(process.hrtime.bigint() / 1000n);
    daemon.signal('SIGHUP');
    const { variables } = await receiver.until('RELOADING', '1', beforeReload);
    expect(Number(variables['MONOTONIC_USEC'])).toBeGreaterThan(asked);
    await receiver.until(
      'READY',
      '1',
      receiver.notifications.findIndex((each) => 'RELOADING' in each.variables),
    );
    await daemon.write(`${yaml}mistake: 1\n`);
    await receiver.until('STATUS', /the last change of the configuration was rejected$/);
    await daemon.write(yaml);
    await receiver.until('STATUS', 'Consumers: 1 running', receiver.notifications.length);

    await using client = await connectTo(server);
    await publish(client, { subject: 'ev.x', body: { milliseconds: 6_000 } });
    const { from, to } = await waitFor(() => daemon.logLines().find((line) => 'hung' in line)?.['hung'] as Hung, {
      what: () => `the loop to hang. The log: ${daemon.log()}`,
      timeout: 20_000,
    });
    await waitFor(() => said('WATCHDOG').some((at) => at > to), { what: 'a sign of life when it turns again' });
    // One may have been on its way when it began.
    expect(said('WATCHDOG').filter((at) => at > from && at < to).length).toBeLessThanOrEqual(1);

    expect(await daemon.terminate()).toBe(0);
    await receiver.until('STOPPING', '1');
    expect(daemon.log()).not.toContain('the service manager cannot be told');
  },
  90_000,
);

interface Hung {
  readonly from: number;
  readonly to: number;
}
