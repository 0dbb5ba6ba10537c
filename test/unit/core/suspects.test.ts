import { describe, expect, it } from 'vitest';
import { NO_ATTEMPTS } from '../../../src/core/attempts.ts';
import type { Run } from '../../../src/core/run.ts';
import { Suspects } from '../../../src/core/suspects.ts';
import { deliverStep } from '../../../src/deliver/route.ts';
import { error, Gate, harness, jsonEvent, later, outcome, route, stopClocks } from './helpers.ts';

stopClocks();

describe('suspects', () => {
  function entering(count: number) {
    const suspects = new Suspects();
    const { receive, consumer } = harness({ steps: [new Gate()], suspects });
    const begun: number[] = [];
    const runs = Array.from({ length: count }, (_, index) => receive(jsonEvent({}, { sequence: index + 1 })));
    for (const run of runs) suspects.enter(run, () => void begun.push(run.sequence));
    const run = (sequence: number): Run => runs[sequence - 1] as Run;
    return { suspects, consumer, begun, run };
  }

  it('run one at a time, in the order in which they came', () => {
    const { suspects, begun, run } = entering(3);
    expect(begun).toEqual([1]);
    suspects.left(run(1));
    expect(begun).toEqual([1, 2]);
    suspects.left(run(2));
    suspects.left(run(3));
    expect(begun).toEqual([1, 2, 3]);
    expect([run(1), run(2), run(3)].map(({ suspect }) => suspect)).toEqual([false, false, false]);
  });

  it('let the next one begin once they are loosened, but for one that must run all alone', () => {
    const { suspects, begun, run } = entering(4);
    run(3).record = { ...NO_ATTEMPTS, suspect: true, grave: true };
    suspects.loosen(run(1));
    expect(begun).toEqual([1, 2]);
    // Who does not run cannot be loosened.
    suspects.loosen(run(4));
    suspects.loosen(run(2));
    expect(begun).toEqual([1, 2]);
    suspects.left(run(1));
    expect(begun).toEqual([1, 2]);
    suspects.left(run(2));
    expect(begun).toEqual([1, 2, 3]);
    suspects.left(run(3));
    expect(begun).toEqual([1, 2, 3, 4]);
  });

  it('make way when they end, whichever way', () => {
    const { begun, run, consumer } = entering(4);
    run(1).resume();
    run(2).fail(error());
    consumer.settle.giveBack(run(3));
    expect(begun).toEqual([1, 2, 3, 4]);
  });

  it('that went while they stood in line are passed over, and let no second one begin', () => {
    const { begun, run, consumer } = entering(4);
    consumer.settle.giveBack(run(2));
    consumer.settle.lose(run(3));
    expect(begun).toEqual([1]);
    run(1).resume();
    expect(begun).toEqual([1, 4]);
  });

  it('leave the place free for the next one that comes', () => {
    const { suspects, begun, run } = entering(1);
    run(1).resume();
    const { receive } = harness({ steps: [new Gate()], suspects });
    suspects.enter(receive(jsonEvent({}, { sequence: 7 })), () => void begun.push(7));
    expect(begun).toEqual([1, 7]);
  });

  it('are one at a time over all consumers of a daemon', () => {
    const suspects = new Suspects();
    const gate = new Gate();
    const [billing, shipping] = [harness({ steps: [gate], suspects }), harness({ steps: [gate], suspects })];
    for (const { attempts, receive } of [billing, shipping]) {
      attempts.records.set(42, { ...NO_ATTEMPTS, open: true });
      receive(jsonEvent({}, { deliveries: 2 }));
    }
    expect(gate.waiting).toHaveLength(1);
    gate.next().resume();
    expect(gate.waiting).toHaveLength(1);
  });

  it('make way while they wait for a target, which may take hours', () => {
    const target = route('partner', () => undefined);
    for (let time = 0; time < 3; time++) target.breaker.failed(error('TARGET_UNAVAILABLE'));
    const gate = new Gate();
    const suspects = new Suspects();
    const waiting = harness({
      steps: [deliverStep([target], outcome('filtered'))],
      suspects,
      unavailable: () => target.breaker.isOpen,
    });
    const other = harness({ steps: [gate], suspects });
    for (const { attempts, receive } of [waiting, other]) {
      attempts.records.set(42, { ...NO_ATTEMPTS, open: true });
      receive(jsonEvent({}, { deliveries: 2 }));
    }
    expect([target.breaker.waiting, gate.waiting.length]).toEqual([1, 1]);
    target.breaker.close();
    later(0);
  });

  it('that wait for a target are noted as no attempt, and as one again, alone, when they go on', () => {
    const sent: Run[] = [];
    const target = route('partner', ({ run }) => void sent.push(run));
    for (let time = 0; time < 3; time++) target.breaker.failed(error('TARGET_UNAVAILABLE'));
    const { attempts, receive } = harness({
      steps: [deliverStep([target], outcome('filtered'))],
      unavailable: () => target.breaker.isOpen,
    });
    attempts.records.set(42, { ...NO_ATTEMPTS, open: true });
    const run = receive(jsonEvent({}, { deliveries: 2 }));
    expect([sent, run.opened]).toEqual([[], false]);
    expect(attempts.records.get(42)).toMatchObject({ open: false, cutOffs: 0, suspect: true });
    // The first probe comes in a second, within a tenth.
    later(1100);
    expect([sent, run.opened]).toEqual([[run], true]);
    expect(attempts.records.get(42)).toMatchObject({ open: true, alone: true });
  });
});
