/**
 * Writes the dashboards of `grafana/dashboards`, or with `--check` says which are not up to date.
 *
 * Usage: node grafana/src/generate.ts [--check]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildDashboard } from './build.ts';
import { consumer } from './consumer.ts';
import { overview } from './overview.ts';

const FOLDER = join(import.meta.dirname, '..', 'dashboards');

const onDisk = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
};

for (const spec of [overview, consumer]) {
  const path = join(FOLDER, `${spec.uid}.json`);
  const content = `${JSON.stringify(buildDashboard(spec), null, 2)}\n`;
  if (onDisk(path) === content) continue;
  if (process.argv.includes('--check')) {
    process.stderr.write(`grafana/dashboards/${spec.uid}.json is not up to date; run: npm run -s dashboards\n`);
    process.exitCode = 1;
  } else {
    writeFileSync(path, content);
    process.stdout.write(`grafana/dashboards/${spec.uid}.json written\n`);
  }
}
