/** Every kind of source, one line each. */
import { schedule } from './schedule.ts';
import { webhook } from './webhook.ts';

export const sources = [webhook, schedule] as const;
