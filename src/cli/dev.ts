import { join } from 'node:path';
import { Command } from 'commander';
import { findNatsServer } from '../nats/find-server.ts';
import { startNatsServer } from '../nats/server.ts';
import { stateDirectory } from '../state-directory.ts';

interface DevOptions {
  readonly config?: string;
  readonly reset?: boolean;
}

const PORT = 4222;
const SAMPLE = '\'{"id":"o-1","customer":"c-7","total":1500}\'';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

export function devCommand(): Command {
  return new Command('dev')
    .description('run the daemon with a nats-server of its own: found, or fetched')
    .option('-c, --config <file>', 'configuration file (default: as for run)')
    .option('--reset', 'start with an empty store')
    .addHelpText('after', '\nExample:\n  ouzel dev --reset')
    .action(dev);
}

async function dev({ config: file, reset }: DevOptions): Promise<void> {
  const storeDir = join(stateDirectory(), 'nats');
  const found = await findNatsServer({
    onTry: ({ origin, state, detail }) => say(`nats-server: ${origin} ${state}: ${detail}`),
  });
  const server = await startNatsServer({
    binary: found.binary,
    storeDir,
    port: PORT,
    orAnyPort: true,
    reset: reset === true,
  });
  try {
    // The configuration reads $NATS_URL, so the sample finds the server wherever it listens.
    const env = { ...process.env, NATS_URL: server.url };
    const { serve } = await import('./serve.ts');
    const { daemon, start, ended } = await serve({ file, env, cwd: process.cwd() });
    const { url } = await start();
    say('');
    say(`  NATS      ${server.url}`);
    say(`  Metrics   ${url}/metrics`);
    say(`  Ready     ${url}/readyz`);
    say(`  Config    ${daemon.loaded.file}`);
    say('');
    say('  Publish an event:');
    say(`  nats -s ${server.url} pub events.orders.created ${SAMPLE}`);
    say('');
    await ended;
  } finally {
    await server.stop();
  }
}
