/**
 * Every transformer, one line each. An entry with several of them applies them in this order, whatever the order in
 * which they are written: a YAML mapping has none.
 */
import { keep } from './keep.ts';
import { lookup } from './lookup.ts';
import { mask } from './mask.ts';
import { remove } from './remove.ts';
import { rename } from './rename.ts';
import { request } from './request.ts';
import { set } from './set.ts';

export const transformers = [rename, lookup, request, set, mask, keep, remove] as const;

/** Those that need nothing but the event, and answer at once. */
export const localTransformers = [rename, set, mask, keep, remove] as const;
