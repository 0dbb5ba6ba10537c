/** Every kind of source, one line each. */
import { webhook } from './webhook.ts';

export const sources = [webhook] as const;
