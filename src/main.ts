#!/usr/bin/env node
import { main } from './cli/index.ts';

process.exitCode = await main(process.argv);
// A first connection that is still being sought cannot be called off, and would keep the process for ever.
setTimeout(() => process.exit(), 500).unref();
