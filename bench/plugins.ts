/**
 * What a plugin costs, in the process and in a thread of its own: CPU microseconds a call, over both threads.
 *
 *     node bench/plugins.ts [CALLS]
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDecoder } from '../src/contracts/decode.ts';
import { Event } from '../src/core/event.ts';
import { isTransformer, type TransformerHandler } from '../src/plugins/define.ts';
import { EventWriter } from '../src/plugins/event.ts';
import { applyEdits, crossing } from '../src/plugins/isolated/crossing.ts';
import { IsolatedHost } from '../src/plugins/isolated/host.ts';
import { loadPlugins } from '../src/plugins/load.ts';
import { stateOf } from '../src/plugins/state.ts';
import { runPlugin } from '../src/plugins/stray.ts';

const CALLS = Number(process.argv[2] ?? 100_000);
/** Events in hand at once. */
const OUTSTANDING = 500;
const PLUGIN = `import { defineTransformer } from 'ouzel';
export const vat = defineTransformer({ setup: () => (event) => event.set('data.vat', Number(event.get('data.total')) * 0.2) });
`;
const BODY = Buffer.from(JSON.stringify({ id: 'o-1', customer: 'c-7', total: 1500, note: 'x'.repeat(270) }));

const decode = createDecoder({ stream: 'EVENTS', strip: 'events.', source: undefined });
const position = { sequence: 1, deliveries: 1, milliseconds: Date.now(), nanoseconds: 0 };
const eventOf = (): Event =>
  new Event(
    { subject: 'events.orders', reply: new Uint8Array(), headers: undefined, body: BODY },
    position,
    'EVENTS',
    decode,
  );

const quiet = { debug: () => undefined, info: () => undefined, warn: console.warn, error: console.error };
const { signal } = new AbortController();

async function measured(what: string, calls: () => Promise<void>): Promise<void> {
  await calls();
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  await calls();
  const { user, system } = process.cpuUsage(cpu);
  const time = (performance.now() - start) / 1000;
  console.log(`${what}: ${((user + system) / CALLS).toFixed(1)} µs of CPU a call, ${Math.round(CALLS / time)} calls/s`);
}

const folder = await mkdtemp(join(tmpdir(), 'ouzel-bench-'));
try {
  await writeFile(join(folder, 'vat.ts'), PLUGIN);
  const wishes = [false, true].map((isolated) => ({ plugin: 'vat', isolated, options: {} }));
  const loaded = (await loadPlugins(folder, wishes)).plugins.get('vat');
  if (loaded?.definition === undefined || loaded.isolated === undefined || !isTransformer(loaded.definition))
    throw new Error('the plugin does not load');
  const handler: TransformerHandler = loaded.definition.setup({ options: {} } as never);
  await measured('in the process', () => {
    for (let n = 0; n < CALLS; n++) {
      const event = new EventWriter({ event: eventOf() });
      runPlugin('vat', () => void handler(event, { signal, attempt: 1 }));
      event.close();
    }
    return Promise.resolve();
  });
  const host = new IsolatedHost({
    plugin: 'vat',
    consumer: 'bench',
    code: loaded.isolated,
    where: 'step',
    options: {},
    allowPrivate: false,
    deadline: 5000,
    memory: 256 * 1024 * 1024,
    state: stateOf('vat'),
    log: quiet,
    count: () => undefined,
    onEnded: () => undefined,
  });
  await host.ready();
  await measured('in a thread of its own', async () => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let begun = 0;
    let ended = 0;
    const call = (): void => {
      begun++;
      const run = { event: eventOf() };
      host.call({
        details: () => ({ event: crossing(run.event), attempt: 1, delivery: undefined }),
        isOver: () => false,
        signal,
        failed: reject,
        answered: (_passes, edits) => {
          applyEdits(run, edits);
          if (++ended === CALLS) resolve();
          else if (begun < CALLS) call();
        },
      });
    };
    for (let n = 0; n < Math.min(OUTSTANDING, CALLS); n++) call();
    await promise;
  });
  host.close();
} finally {
  await rm(folder, { recursive: true, force: true });
}
