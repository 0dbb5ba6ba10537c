/** The long run: `npm run chaos -- --minutes 20 --seed 123 --instances 2`. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findNatsServer } from '../../src/nats/find-server.ts';
import { provideOutsideOfTests } from '../helpers/resources.ts';
import { runChaos } from './driver.ts';

const HELP = `npm run -s chaos -- [--minutes N] [--seed N] [--instances N] [--servers 1|3] [--rate N] [--faults REGEXP]

  --minutes    how long events are published and faults made (default 20)
  --seed       repeats the plan of a run (default: another one each time)
  --instances  daemons, 1 to 3 (default 2)
  --servers    1, or 3 for a cluster that replicates everything (default 1)
  --rate       events a second (default 300)
  --faults     only faults whose name it matches, to look into one kind (default: all)
`;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    instances: { type: 'string', default: '2' },
    servers: { type: 'string', default: '1' },
    faults: { type: 'string', default: '' },
    rate: { type: 'string', default: '300' },
    help: { type: 'boolean', default: false },
  },
});
const numbers = [values.minutes, values.seed, values.instances, values.rate].map(Number);
const [minutes = 0, seed = 0, instances = 0, rate = 0] = numbers;

if (values.help) process.stdout.write(HELP);
else if (
  numbers.some((number) => !(number >= 0)) ||
  instances < 1 ||
  instances > 3 ||
  !/^[13]$/.test(values.servers) ||
  rate < 1
) {
  process.stderr.write(HELP);
  process.exitCode = 64;
} else {
  const temporaryRoot = await mkdtemp(join(tmpdir(), 'ouzel-chaos-run-'));
  provideOutsideOfTests({ natsServer: (await findNatsServer()).binary, temporaryRoot });
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  try {
    const problems = await runChaos({
      seed,
      seconds: minutes * 60,
      instances,
      servers: values.servers === '3' ? 3 : 1,
      rate,
      only: new RegExp(values.faults),
      gap: [500, 5_000],
      quietWithin: 600_000,
      write: (text) => void process.stdout.write(text),
      signal: interrupted.signal,
    });
    if (problems.size > 0) process.exitCode = 1;
  } finally {
    await rm(temporaryRoot, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
  // The verdict is given: a connection that still tries to reach a server which is gone is not waited for.
  process.exit();
}
