/** Which lane an event belongs to, and how the room is shared. */
import { describe, expect, it } from 'vitest';
import { Lane } from '../../../src/core/lane.ts';
import { LaneTable, shareOut } from '../../../src/flow/lane-table.ts';

const lane = (name: string): Lane => new Lane(name, 1, 1, { room: 100, limits: { prefetch: 100, ackWait: 30_000 } });

describe('LaneTable', () => {
  const [rest, urgent, gone, next] = ['rest', 'urgent', 'gone', 'next'].map(lane) as [Lane, Lane, Lane, Lane];
  const table = new LaneTable(rest, [
    { lane: next, subjects: ['e.old.>'], leaving: false, until: undefined },
    { lane: urgent, subjects: ['e.*.urgent', 'e.now'], leaving: false, until: undefined },
    { lane: gone, subjects: ['e.old.>', 'e.past'], leaving: true, until: 1_000 },
  ]);

  it.each([
    ['e.a.urgent', 5_000, urgent],
    ['e.now', 0, urgent],
    ['e.other', 5_000, rest],
    // One that leaves has what was stored until its time is over, whoever has the subject now.
    ['e.old.x', 1_000, gone],
    ['e.old.x', 1_001, next],
    ['e.past', 1_000, gone],
    ['e.past', 1_001, rest],
  ])('%s, stored at %i', (subject, milliseconds, of) => {
    for (let twice = 0; twice < 2; twice++) expect(table.of(subject, milliseconds)).toBe(of);
  });

  it('remembers a bounded number of subjects, and answers for all', () => {
    for (let each = 0; each < 10_000; each++) {
      expect(table.of(`e.${each}.urgent`, 0)).toBe(urgent);
      expect(table.of(`e.${each}`, 0)).toBe(rest);
    }
  });

  it('has everything with a lane whose time is not known yet', () => {
    const leaves = new LaneTable(rest, [{ lane: gone, subjects: ['e.>'], leaving: true, until: undefined }]);
    expect(leaves.of('e.x', Number.MAX_SAFE_INTEGER)).toBe(gone);
  });
});

describe('shareOut', () => {
  it.each([
    [2000, [9, 1], [1800, 200]],
    [500, [3, 1, 1], [300, 100, 100]],
    [2, [1, 1, 1000], [1, 1, 1]],
  ])('%i over %j', (prefetch, weights, shares) => {
    expect(
      shareOut(
        prefetch,
        weights.map((weight) => ({ weight })),
      ),
    ).toEqual(shares);
  });
});
