/** A chain as a trail writes it. */
import { hashOf, NO_HASH, outcomeSubject, readBatch, batchText, writeBatch } from '../../../src/audit/chain.ts';
import type { Head } from '../../../src/audit/anchor.ts';
import type { StoredBatch } from '../../../src/audit/verify.ts';

export interface Written extends StoredBatch {
  readonly head: Head;
}

/** Batches of a chain, a record each, at the sequences `from`, `from + 1`, … and the times 1000, 2000, … */
export function chainOf(
  chain: string,
  count: number,
  from = 1,
  line = (number: number) => `{"n":${number}}`,
): Written[] {
  const written: Written[] = [];
  for (let number = 0; number < count; number++) {
    const before = written.at(-1);
    const time = (number + 1) * 1_000;
    const bytes = writeBatch(
      {
        chain,
        number,
        previous: before?.head.hash ?? NO_HASH,
        previous_sequence: before?.sequence ?? 0,
        previous_time: before?.head.time ?? 0,
        time,
        records: 1,
      },
      [Buffer.from(`${line(number)}\n`)],
    );
    written.push(stored(from + number, outcomeSubject(chain), bytes, { number, time }));
  }
  return written;
}

export const stored = (
  sequence: number,
  subject: string,
  bytes: Uint8Array,
  head: Pick<Head, 'number' | 'time'>,
): Written => ({
  sequence,
  subject,
  bytes,
  batch: readBatch(batchText(bytes)),
  head: { ...head, sequence, hash: hashOf(bytes) },
});
