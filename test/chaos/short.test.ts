/** A short run of the chaos driver. `CHAOS_SEED` plans another one; the long run is `npm run chaos`. */
import { expect, test } from 'vitest';
import { runChaos } from './driver.ts';

const seed = Number(process.env['CHAOS_SEED'] ?? 8836);

test(`nothing is lost while processes, network, server and targets fail (CHAOS_SEED=${seed})`, async () => {
  const problems = await runChaos({
    seed,
    seconds: 50,
    instances: 2,
    servers: 1,
    rate: 100,
    gap: [100, 600],
    quietWithin: 240_000,
    write: (text) => void process.stderr.write(text),
  });
  expect(Object.fromEntries(problems)).toEqual({});
}, 420_000);
