/**
 * Holds the trail against itself: each batch against the hash that the next one names, each chain against its head, and
 * each act against its hash in the chain. What retention took away is no fault; what else is missing is.
 */
import { type Batch, hashOf, NO_HASH, outcomeSubject } from './chain.ts';
import type { Head } from './anchor.ts';
import type { ActLink } from './record.ts';

export type FaultKind = 'changed' | 'missing' | 'reordered' | 'unreadable';

/** Something that is not as it was written. */
export interface Fault {
  readonly kind: FaultKind;
  /** Undefined where that cannot be told. */
  readonly chain?: string | undefined;
  /** Of the first batch that it is about, and how many there are. */
  readonly number?: number | undefined;
  readonly batches?: number | undefined;
  /** Of a message of the stream, which is `stream`. */
  readonly stream: string;
  readonly sequence?: number | undefined;
  readonly message: string;
}

/** A message as it is stored. */
export interface StoredBatch {
  readonly sequence: number;
  readonly subject: string;
  readonly bytes: Uint8Array;
  /** Undefined where it cannot be read. */
  readonly batch: Batch | undefined;
}

export interface StoredAct {
  readonly sequence: number;
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly what: string;
  readonly bytes: Uint8Array;
}

/** What retention may have taken away. */
export interface Bounds {
  /** Batches before this instant are not looked at; milliseconds since the epoch. */
  readonly since: number;
  /** Those before it may have gone by their age. */
  readonly kept: number;
  /** The first sequence that the stream has, and whether it is as full as it may be. */
  readonly first: number;
  readonly full: boolean;
}

export interface Verdict {
  readonly faults: readonly Fault[];
  readonly chains: number;
  readonly batches: number;
  readonly records: number;
  readonly acts: number;
  /** Acts that are in no chain: of a process that was ended before, or of an earlier version. */
  readonly unchained: number;
  /** The last batch of each chain, to be kept where nobody can change it. */
  readonly heads: readonly { readonly chain: string; readonly number: number; readonly hash: string }[];
}

interface Chain {
  /** The highest number so far, and the hashes of all by number. */
  number: number;
  readonly hashes: Map<number, { readonly hash: string; readonly sequence: number }>;
  /** Those that a later one was seen before. */
  readonly gaps: Set<number>;
}

const STREAM = 'OUZEL_OUTCOMES';
const ACTS = 'OUZEL_AUDIT';
const PAYLOADS = 'OUZEL_PAYLOADS';

const range = (first: number, last: number): string => (first === last ? `batch ${first}` : `batches ${first}–${last}`);

export class Verifier {
  readonly #bounds: Bounds;
  readonly #chains = new Map<string, Chain>();
  readonly #faults: Fault[] = [];
  readonly #acts = new Map<string, ActLink>();
  readonly #seen = new Set<string>();
  /** When the oldest act of each kind was recorded that is still there. */
  readonly #oldest = new Map<string, number>();
  #batches = 0;
  #records = 0;
  #unchained = 0;

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
  }

  /** The next message of the stream of outcomes, in its order. */
  batch({ sequence, subject, bytes, batch }: StoredBatch): void {
    this.#batches++;
    if (batch === undefined || subject !== outcomeSubject(batch.link.chain)) {
      const message = batch === undefined ? 'is no batch that Ouzel wrote' : `belongs to chain ${batch.link.chain}`;
      this.#faults.push({
        kind: 'unreadable',
        stream: STREAM,
        sequence,
        message: `message ${sequence} on ${subject} ${message}`,
      });
      return;
    }
    this.#records += batch.records.length;
    for (const record of batch.records) if (record.kind === 'act') this.#acts.set(record.act, record);
    this.#place(batch, hashOf(bytes), sequence);
  }

  #place({ link }: Batch, hash: string, sequence: number): void {
    const { chain: name, number, previous } = link;
    let chain = this.#chains.get(name);
    if (chain === undefined) {
      chain = { number: number - 1, hashes: new Map(), gaps: new Set() };
      this.#chains.set(name, chain);
      if (number > 0 && !this.#mayBeGone(link.previous_time, link.previous_sequence))
        this.#fault(
          'missing',
          name,
          0,
          number,
          undefined,
          `${range(0, number - 1)} missing, before sequence ${sequence}`,
        );
      if (number === 0 && previous !== NO_HASH)
        this.#fault('changed', name, 0, 1, sequence, `batch 0 (sequence ${sequence}) names one before it`);
    }
    const known = chain.hashes.get(number);
    // Stored twice, because the answer to the first was lost for longer than the stream remembers ids.
    if (known?.hash === hash) return;
    if (known !== undefined)
      return this.#fault(
        'changed',
        name,
        number,
        1,
        sequence,
        `batch ${number} is there twice, with different contents (sequences ${known.sequence} and ${sequence})`,
      );
    if (chain.gaps.delete(number))
      this.#fault(
        'reordered',
        name,
        number,
        1,
        sequence,
        `batch ${number} (sequence ${sequence}) stands behind later ones`,
      );
    else for (let gap = chain.number + 1; gap < number; gap++) chain.gaps.add(gap);
    chain.hashes.set(number, { hash, sequence });
    chain.number = Math.max(chain.number, number);
    const before = chain.hashes.get(number - 1);
    if (before !== undefined && before.hash !== previous)
      this.#tampered(name, number - 1, before.sequence, `batch ${number} (sequence ${sequence})`);
  }

  #tampered(chain: string, number: number, sequence: number, witness: string): void {
    this.#fault(
      'changed',
      chain,
      number,
      1,
      sequence,
      `batch ${number} (sequence ${sequence}) is not what ${witness} was written behind: one of them was changed`,
    );
  }

  /** A record of an act, in any order. To be called when all batches were. */
  act({ sequence, id, at, what, bytes }: StoredAct): void {
    this.#oldest.set(what, Math.min(at, this.#oldest.get(what) ?? Infinity));
    const link = this.#acts.get(id);
    if (link === undefined) {
      this.#unchained++;
      return;
    }
    this.#seen.add(id);
    if (hashOf(bytes) !== link.sha256)
      this.#faults.push({
        kind: 'changed',
        stream: ACTS,
        sequence,
        message: `act ${id} (${link.what} ${link.resource}, sequence ${sequence}) was changed`,
      });
  }

  /** The data of an event. That some is not there is no fault: it may be erased. */
  payload(sequence: number, hash: string, bytes: Uint8Array): void {
    if (hashOf(bytes) === hash) return;
    const message = `the data of an event (sequence ${sequence} of ${PAYLOADS}) was changed`;
    this.#faults.push({ kind: 'changed', stream: PAYLOADS, sequence, message });
  }

  /** @param heads Of the chains, as they were before the first batch was read. */
  finish(heads: ReadonlyMap<string, Head>): Verdict {
    for (const [name, { gaps }] of this.#chains)
      for (const [first, last] of runs(gaps))
        this.#fault('missing', name, first, last - first + 1, undefined, `${range(first, last)} missing`);
    for (const [name, head] of heads) this.#head(name, head);
    for (const [id, { at, what, resource, who }] of this.#acts)
      if (!this.#seen.has(id) && at >= (this.#oldest.get(what) ?? this.#bounds.kept) && at >= this.#bounds.since)
        this.#faults.push({
          kind: 'missing',
          stream: ACTS,
          message: `act ${id} (${what} ${resource} by ${who ?? 'nobody known'}, ${new Date(at).toISOString()}) is missing`,
        });
    const last = [...this.#chains].map(([chain, { number, hashes }]) => ({
      chain,
      number,
      hash: hashes.get(number)?.hash ?? '',
    }));
    return {
      faults: this.#faults,
      chains: this.#chains.size,
      batches: this.#batches,
      records: this.#records,
      acts: this.#seen.size,
      unchained: this.#unchained,
      heads: last,
    };
  }

  #head(name: string, head: Head): void {
    const chain = this.#chains.get(name);
    if ((chain?.number ?? -1) < head.number) {
      if (this.#mayBeGone(head.time, head.sequence)) return;
      const first = (chain?.number ?? -1) + 1;
      return this.#fault(
        'missing',
        name,
        first,
        head.number - first + 1,
        undefined,
        `${range(first, head.number)} missing, as its head says`,
      );
    }
    const known = chain?.hashes.get(head.number);
    if (known !== undefined && known.hash !== head.hash) this.#tampered(name, head.number, known.sequence, 'its head');
  }

  /** Whether what was written then may be gone without anybody's doing. */
  #mayBeGone(time: number, sequence: number): boolean {
    const { since, kept, first, full } = this.#bounds;
    return time < since || time < kept || (full && sequence < first);
  }

  #fault(
    kind: FaultKind,
    chain: string,
    number: number,
    batches: number,
    sequence: number | undefined,
    what: string,
  ): void {
    this.#faults.push({ kind, chain, number, batches, stream: STREAM, sequence, message: `chain ${chain}: ${what}` });
  }
}

/** Numbers that follow each other, as first and last. */
function runs(numbers: ReadonlySet<number>): [first: number, last: number][] {
  const found: [number, number][] = [];
  for (const number of [...numbers].toSorted((left, right) => left - right)) {
    const open = found.at(-1);
    if (open !== undefined && open[1] === number - 1) open[1] = number;
    else found.push([number, number]);
  }
  return found;
}
