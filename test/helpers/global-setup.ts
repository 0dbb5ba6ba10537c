import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { findNatsServer } from '../../src/nats/find-server.ts';
import type { ServerTry } from '../../src/nats/find-server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The nats-server that this run uses. */
    natsServer: string;
    /** Holds every temporary directory of this run, and goes with it. */
    temporaryRoot: string;
  }
}

/** Finds or fetches the nats-server that the suites run against. `$OUZEL_TEST_NATS_SERVER` names another. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const named = process.env['OUZEL_TEST_NATS_SERVER'];
  project.provide('natsServer', named ?? (await findNatsServer({ onTry: announceFetch })).binary);
  const root = await mkdtemp(join(tmpdir(), 'ouzel-test-'));
  project.provide('temporaryRoot', root);
  return () => rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}

function announceFetch(attempt: ServerTry): void {
  if (attempt.state === 'trying') process.stderr.write(`${attempt.origin}: ${attempt.detail}\n`);
}
