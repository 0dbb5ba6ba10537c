/**
 * Batches of records as messages. Each names the hash of the one before it, so that none can be changed, taken away or
 * put elsewhere unseen: the first line says where the batch stands in its chain, the others are records; the whole is
 * compressed with zstd, and its hash is the SHA-256 of exactly the bytes that are stored.
 */
import { hash } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { OuzelError } from '../errors.ts';
import type { TrailRecord } from './record.ts';

export const OUTCOME_STREAM = 'OUZEL_OUTCOMES';
const OUTCOME_PREFIX = 'ouzel.outcomes.';
export const OUTCOME_SUBJECTS = `${OUTCOME_PREFIX}*`;

/** What the first batch of a chain names as the one before it. */
export const NO_HASH = '0'.repeat(64);

/** Bytes that a batch may have when it is opened: what is larger, Ouzel did not write. */
const LARGEST = 16 * 2 ** 20;
/**
 * Lines repeat what stands close before them: a small window takes a third less time, and no more room. The room that
 * Node sets aside for the output, 64 KiB, costs as much as to compress sixty lines, of which little comes out.
 */
const LEVEL = {
  params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_windowLog]: 17 },
  chunkSize: 16 * 1024,
};

/** Where a batch stands. */
export interface Link {
  readonly version: 1;
  /** The instance that wrote it: its host, and an id that is new at each start. */
  readonly chain: string;
  /** From 0. */
  readonly number: number;
  /** The hash of the batch before it. */
  readonly previous: string;
  /** Where that one is in the stream, and when it was written; 0: there is none. */
  readonly previous_sequence: number;
  readonly previous_time: number;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly records: number;
}

export interface Batch {
  readonly link: Link;
  readonly records: readonly TrailRecord[];
}

export const outcomeSubject = (chain: string): string => OUTCOME_PREFIX + chain;

export const hashOf = (bytes: Uint8Array | string): string => hash('sha256', bytes, 'hex');

/** @param lines Records: lines of JSON, each with its end. */
export const writeBatch = (link: Omit<Link, 'version'>, lines: readonly Uint8Array[]): Uint8Array =>
  zstdCompressSync(
    Buffer.concat([Buffer.from(`${JSON.stringify({ version: 1, ...link } satisfies Link)}\n`), ...lines]),
    LEVEL,
  );

/** The text of a batch, to look for something in it before it is parsed. @throws OuzelError EVENT_UNDECODABLE */
export function batchText(bytes: Uint8Array): string {
  try {
    return zstdDecompressSync(bytes, { maxOutputLength: LARGEST }).toString();
  } catch (error) {
    throw new OuzelError('EVENT_UNDECODABLE', `no batch of the audit: ${(error as Error).message}`, { cause: error });
  }
}

/** @throws OuzelError EVENT_UNDECODABLE */
export function readBatch(text: string): Batch {
  try {
    const [link, ...records] = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    if (!isLink(link) || link.records !== records.length) throw new Error('its first line does not fit the others');
    return { link, records: records as TrailRecord[] };
  } catch (error) {
    throw new OuzelError('EVENT_UNDECODABLE', `no batch of the audit: ${(error as Error).message}`, { cause: error });
  }
}

function isLink(value: unknown): value is Link {
  if (typeof value !== 'object' || value === null) return false;
  const { version, chain, number, previous, records } = value as Partial<Record<keyof Link, unknown>>;
  return (
    version === 1 &&
    typeof chain === 'string' &&
    typeof previous === 'string' &&
    Number.isSafeInteger(number) &&
    Number.isSafeInteger(records)
  );
}
