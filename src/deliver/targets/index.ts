/** Every target, one line each. */
import { file } from './file.ts';
import { log } from './log.ts';
import { notify } from './notify.ts';
import { publish } from './publish.ts';
import { request } from './request.ts';
import { sql } from './sql.ts';
import { webhook } from './webhook.ts';

export const targets = [publish, request, webhook, sql, notify, file, log] as const;
