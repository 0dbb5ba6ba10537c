import { resolve } from 'node:path';

/** Where Ouzel keeps what must outlive it: `$STATE_DIRECTORY` (systemd sets it), else `data/` in the working directory. */
export const stateDirectory = (env: NodeJS.ProcessEnv = process.env): string =>
  resolve(env['STATE_DIRECTORY']?.split(':')[0] ?? 'data');
