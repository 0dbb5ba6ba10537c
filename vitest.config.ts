import './src/require-node.mjs';
import { defineConfig } from 'vitest/config';

/** What these suites share: a real nats-server, found or fetched once for each project before its first file. */
const server = {
  globalSetup: ['test/helpers/global-setup.ts'],
  // How long a test may take at most, on the busiest machine; no test is about how long it takes.
  testTimeout: 120_000,
  hookTimeout: 120_000,
};

export default defineConfig({
  test: {
    // The code is tested as it runs: Node strips the types itself, with no bundler in between.
    experimental: { viteModuleRunner: false },
    pool: 'forks',
    // The suites mostly wait for other processes, so that even on two cores one file at a time would be a waste.
    maxWorkers: 3,
    passWithNoTests: true,
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 30_000 } },
      { extends: true, test: { name: 'conformance', include: ['test/conformance/**/*.test.ts'], ...server } },
      { extends: true, test: { name: 'chaos', include: ['test/chaos/**/*.test.ts'], ...server } },
      { extends: true, test: { name: 'integration', include: ['test/integration/**/*.test.ts'], ...server } },
    ],
  },
});
