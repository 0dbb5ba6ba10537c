/** Every source of a lookup, one line each. */
import { file } from './file.ts';
import { http } from './http.ts';
import { kv } from './kv.ts';
import { sql } from './sql.ts';

export const sources = [kv, file, http, sql] as const;
