/** Every target, one line each. */
import { log } from './log.ts';
import { publish } from './publish.ts';

export const targets = [publish, log] as const;
