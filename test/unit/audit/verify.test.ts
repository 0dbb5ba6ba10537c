/** What is found in a trail that somebody was at, and what is no fault. */
import { describe, expect, it } from 'vitest';
import { batchText, hashOf, outcomeSubject, readBatch, writeBatch } from '../../../src/audit/chain.ts';
import type { Head } from '../../../src/audit/anchor.ts';
import { type Bounds, type StoredAct, type Verdict, Verifier } from '../../../src/audit/verify.ts';
import { chainOf, stored, type Written } from './trail.ts';

const BOUNDS: Bounds = { since: 0, kept: 0, first: 1, full: false };

interface Given {
  readonly heads?: Readonly<Record<string, Head>>;
  readonly bounds?: Partial<Bounds>;
  readonly acts?: readonly StoredAct[];
}

function verdictOn(batches: readonly Omit<Written, 'head'>[], { heads = {}, bounds, acts = [] }: Given = {}): Verdict {
  const verifier = new Verifier({ ...BOUNDS, ...bounds });
  for (const batch of batches) verifier.batch(batch);
  for (const act of acts) verifier.act(act);
  return verifier.finish(new Map(Object.entries(heads)));
}

const kinds = ({ faults }: Verdict) => faults.map(({ kind, chain, number }) => [kind, chain, number]);

/** The same place in the chain with another record. */
function rewritten({ sequence, subject, batch, head }: Written): Written {
  const { link } = batch as NonNullable<typeof batch>;
  return stored(sequence, subject, writeBatch(link, [Buffer.from('{"n":"changed"}\n')]), head);
}

const A = chainOf('a', 5);
const at = (index: number): Written => A[index] as Written;
const without = (...indices: number[]): Written[] => A.filter((_batch, index) => !indices.includes(index));

describe('a batch', () => {
  it('is read as it was written', () => {
    const { bytes, batch } = at(3);
    expect(batch?.records).toEqual([{ n: 3 }]);
    expect(batch?.link).toMatchObject({ version: 1, chain: 'a', number: 3, previous: at(2).head.hash, records: 1 });
    expect(batchText(bytes).split('\n')).toHaveLength(3);
  });

  it.each([
    ['is none at all', Buffer.from('{"n":1}')],
    ['is cut off', at(3).bytes.subarray(0, -5)],
  ])('that %s is refused', (_what, bytes) => {
    expect(() => readBatch(batchText(bytes))).toThrow(/no batch of the audit/);
  });

  it('whose first line does not count its records is refused', () => {
    expect(() => readBatch(`${batchText(at(3).bytes)}{"n":4}\n`)).toThrow(/does not fit/);
  });
});

describe('a trail is whole', () => {
  it('where each batch names the one before it', () => {
    const both = [...A.slice(0, 2), ...chainOf('b', 3, 10), ...A.slice(2)];
    const verdict = verdictOn(both, { heads: { a: at(4).head, b: chainOf('b', 3, 10)[1]?.head as Head } });
    expect(verdict).toMatchObject({ faults: [], chains: 2, batches: 8, records: 8 });
    expect(verdict.heads).toContainEqual({ chain: 'a', number: 4, hash: at(4).head.hash });
  });

  it('where a batch is stored twice', () => {
    expect(verdictOn([...A.slice(0, 3), { ...at(2), sequence: 9 }, ...A.slice(3)]).faults).toEqual([]);
  });

  it('where the oldest went by their age', () => {
    expect(verdictOn(without(0, 1), { bounds: { kept: 2_001, first: 3 }, heads: { a: at(4).head } }).faults).toEqual(
      [],
    );
  });

  it('where the oldest made room, and nowhere else', () => {
    expect(verdictOn(without(0, 1), { bounds: { full: true, first: 3 } }).faults).toEqual([]);
    expect(kinds(verdictOn(without(0, 1), { bounds: { full: true, first: 1 } }))).toEqual([['missing', 'a', 0]]);
  });

  it('where a whole chain went by its age', () => {
    expect(verdictOn([], { bounds: { kept: 5_001 }, heads: { a: at(4).head } }).faults).toEqual([]);
  });

  it('where only the rest of it is asked about', () => {
    expect(verdictOn(without(0, 1), { bounds: { since: 2_500 } }).faults).toEqual([]);
  });
});

describe('it is found that', () => {
  it.each([
    ['the first batch', [0], 0, 1],
    ['one in the middle', [2], 2, 1],
    ['several', [1, 2, 3], 1, 3],
    ['the last', [4], 4, 1],
  ])('%s is missing', (_what, indices, number, batches) => {
    const { faults } = verdictOn(without(...indices), { heads: { a: at(4).head } });
    expect(faults).toMatchObject([{ kind: 'missing', chain: 'a', number, batches }]);
  });

  it('a chain is missing', () => {
    const { faults } = verdictOn([], { heads: { a: at(4).head } });
    expect(faults).toMatchObject([{ kind: 'missing', chain: 'a', number: 0, batches: 5 }]);
  });

  it.each([0, 2, 3])('batch %i was rewritten', (index) => {
    const { faults } = verdictOn(A.map((batch, each) => (each === index ? rewritten(batch) : batch)));
    expect(faults).toMatchObject([{ kind: 'changed', chain: 'a', number: index, sequence: index + 1 }]);
  });

  it('the last batch was rewritten, by the head', () => {
    const given = [...A.slice(0, 4), rewritten(at(4))];
    expect(verdictOn(given).faults).toEqual([]);
    expect(kinds(verdictOn(given, { heads: { a: at(4).head } }))).toEqual([['changed', 'a', 4]]);
  });

  it('all from one batch on was rewritten, by the head', () => {
    const forged = chainOf('a', 5, 1, (number) => (number < 2 ? `{"n":${number}}` : '{"n":"forged"}'));
    expect(verdictOn(forged).faults).toEqual([]);
    expect(kinds(verdictOn(forged, { heads: { a: at(3).head } }))).toEqual([['changed', 'a', 3]]);
  });

  it('one stands behind later ones', () => {
    const given = [at(0), at(2), at(3), { ...at(1), sequence: 9 }, at(4)];
    expect(verdictOn(given).faults).toMatchObject([{ kind: 'reordered', chain: 'a', number: 1, sequence: 9 }]);
  });

  it('one is there twice, with different contents', () => {
    const { faults } = verdictOn([...A, { ...rewritten(at(1)), sequence: 9 }]);
    expect(faults).toMatchObject([{ kind: 'changed', chain: 'a', number: 1, sequence: 9 }]);
  });

  it('one stands on the subject of another chain, or is none', () => {
    const { faults } = verdictOn([
      { ...at(0), subject: outcomeSubject('b') },
      { sequence: 2, subject: outcomeSubject('b'), bytes: Buffer.from('x'), batch: undefined },
    ]);
    expect(faults).toMatchObject([
      { kind: 'unreadable', sequence: 1 },
      { kind: 'unreadable', sequence: 2 },
    ]);
  });
});

describe('acts', () => {
  const bytes = Buffer.from('{"id":"x"}');
  const link = (id: string, at_: number) =>
    JSON.stringify({
      kind: 'act',
      act: id,
      at: at_,
      what: 'consumer.put',
      resource: 'r',
      who: 'ci',
      sha256: hashOf(bytes),
    });
  const chain = chainOf('a', 2, 1, (number) => link(number === 0 ? 'x' : 'y', number === 0 ? 100 : 200));
  const act = (id: string, at_: number, more: Partial<StoredAct> = {}): StoredAct => ({
    sequence: 7,
    id,
    at: at_,
    what: 'consumer.put',
    bytes,
    ...more,
  });

  it('that are as the chain says are whole', () => {
    const verdict = verdictOn(chain, { acts: [act('x', 100), act('y', 200), act('z', 300)] });
    expect(verdict).toMatchObject({ faults: [], acts: 2, unchained: 1 });
  });

  it('that were changed or removed are named', () => {
    const { faults } = verdictOn(chain, { acts: [act('x', 100, { bytes: Buffer.from('{"id":"x","who":null}') })] });
    expect(faults).toMatchObject([
      { kind: 'changed', stream: 'OUZEL_AUDIT', sequence: 7 },
      { kind: 'missing', stream: 'OUZEL_AUDIT', message: expect.stringMatching(/act y .*by ci/) as string },
    ]);
  });

  it('that made room for later ones of their kind are not missing', () => {
    expect(verdictOn(chain, { acts: [act('y', 200)] }).faults).toEqual([]);
  });
});
