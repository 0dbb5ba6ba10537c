/** Starts the thread of an isolated plugin. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type FromThread, OUT_OF_MEMORY, type ThreadStart } from './protocol.ts';

/** Why a thread ended by itself. */
export interface ThreadEnd {
  readonly reason: 'memory' | 'exit' | 'error';
  readonly text: string;
}

interface Listener {
  readonly heard: (message: FromThread) => void;
  /** It is gone, whoever ended it. */
  readonly ended: (end: ThreadEnd) => void;
}

const THREAD = new URL(`./thread${extname(import.meta.url)}`, import.meta.url);
const MEGABYTE = 1_048_576;

/** @param memory Bytes of V8's heap; what is beside it is weighed by the thread and by whoever watches it. */
export function startThread(start: ThreadStart, memory: number, { heard, ended }: Listener): Worker {
  const worker = new Worker(THREAD, {
    name: `plugin ${start.plugin}`,
    workerData: start,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: Math.floor(memory / MEGABYTE) },
  });
  let failed: Error | undefined;
  worker
    .on('message', heard)
    .on('error', (error) => (failed = error instanceof Error ? error : new Error(String(error))))
    .on('exit', (code) => ended(endOf(code, failed, memory)));
  return worker;
}

function endOf(code: number, failed: Error | undefined, memory: number): ThreadEnd {
  if (code === OUT_OF_MEMORY || (failed as { code?: string } | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY')
    return { reason: 'memory', text: `it needed more than ${Math.floor(memory / MEGABYTE)} MiB of memory` };
  if (failed !== undefined) return { reason: 'error', text: failed.message };
  return { reason: 'exit', text: `it called process.exit(${code})` };
}
