/** Finds records where they are found fastest: in the table, if there is one, else in the stream. */
import type { Config } from '../config/schema.ts';
import type { ScanAccess } from '../nats/scan.ts';
import { type AuditSelectors, auditQuery, type EventRecord, type Selection, selectRecords } from './query.ts';
import { AuditStore } from './store.ts';

export interface SearchOptions {
  /** How many at most, the newest. */
  readonly limit: number;
  /** Bytes of the stream that are looked through at most, the newest. */
  readonly budget?: number;
  /** Which of them may be seen; left out: all. */
  readonly permits?: (record: EventRecord) => boolean;
}

/** @throws OuzelError USAGE, NATS_UNAVAILABLE, and as `Database.query` */
export async function searchTrail(
  access: ScanAccess,
  { store: url }: Config['audit'],
  selectors: AuditSelectors,
  { limit, ...options }: SearchOptions,
): Promise<Selection> {
  if (url === undefined) return selectRecords(access, auditQuery(selectors), limit, options);
  const store = new AuditStore(url);
  try {
    return await store.select(selectors, limit, options.permits);
  } finally {
    await store.close();
  }
}
