#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// Halves what a command needs to start. In a folder of the user's own: what stands in it is run.
enableCompileCache(join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'ouzel', 'compiled'));
const { main } = await import('./cli/index.ts');

process.exitCode = await main(process.argv);
// A first connection that is still being sought cannot be called off, and would keep the process for ever.
setTimeout(() => process.exit(), 500).unref();
