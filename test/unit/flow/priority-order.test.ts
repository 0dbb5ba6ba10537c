/** Priority among keys, and the stream's order within a key: both against one model. */
import { describe, expect, it } from 'vitest';
import type { Run } from '../../../src/core/run.ts';
import { Admission } from '../../../src/flow/admit.ts';
import { Lanes } from '../../../src/flow/order.ts';
import { type HeadStart, priorityStep } from '../../../src/flow/priority.ts';
import { Gate, harness, jsonEvent, random, stopClocks } from '../core/helpers.ts';

interface Data {
  readonly key: string;
  readonly vip: boolean;
}

const AHEAD: readonly HeadStart[] = [{ when: ({ event }) => (event.data as Data).vip, ahead: 50 }];
const START = Date.UTC(2026, 0, 2);

describe('order_by with priority', () => {
  stopClocks();

  it.each([1, 2, 3, 4, 5, 6])('who has a head start is next among the first of each key (seed %i)', (seed) => {
    const chance = random(seed);
    const lanes = new Lanes();
    const admission = new Admission(1);
    admission.order({ ranked: true, rest: undefined });
    const gate = new Gate();
    const { receive, counts } = harness({
      steps: [lanes.step((run) => (run.event.data as Data).key), priorityStep(AHEAD), admission.step, gate],
      ordered: true,
      onSettled: (run) => {
        lanes.onSettled(run);
        admission.onSettled(run);
      },
    });
    lanes.open(performance.now() + 3_600_000);

    // The model: what waits of each key, in order; only the first of each may be next.
    const keys = new Map<string, { readonly sequence: number; readonly rank: number }[]>();
    let atWork: { readonly key: string; readonly sequence: number } | undefined;
    const next = (): typeof atWork => {
      const heads = [...keys].flatMap(([key, [first]]) => (first === undefined ? [] : [{ key, ...first }]));
      const [best] = heads.toSorted((a, b) => a.rank - b.rank || a.sequence - b.sequence);
      if (best !== undefined) keys.get(best.key)?.shift();
      return best;
    };
    for (let sequence = 1, round = 0; round < 1500; round++) {
      if (chance() < 0.52) {
        const data: Data = { key: `k${Math.floor(chance() * 6)}`, vip: chance() < 0.3 };
        const milliseconds = START + Math.floor(sequence / 2);
        const waiting = { sequence, rank: milliseconds - (data.vip ? 50 : 0) };
        const known = keys.get(data.key);
        if (known === undefined) keys.set(data.key, [waiting]);
        else known.push(waiting);
        receive(jsonEvent(data, { sequence: sequence++, milliseconds }));
      } else if (atWork !== undefined) {
        (gate.waiting.shift() as Run).resume();
        atWork = undefined;
      }
      // While one of its key is at work, nothing of it may be next.
      atWork ??= next();
      expect(gate.waiting.map((run) => run.sequence)).toEqual(atWork === undefined ? [] : [atWork.sequence]);
    }
    expect(counts().delivered).toBeGreaterThan(400);
  });
});
