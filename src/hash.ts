/** Supplies the hash function of expressions, which `expression/` cannot import itself. */
import { createHash } from 'node:crypto';
import { configureHash } from './expression/index.ts';

configureHash((text) => createHash('sha256').update(text).digest('hex'));
