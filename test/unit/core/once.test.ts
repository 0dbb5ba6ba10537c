/** Stages with an effect that an event has once in a run, however often it comes by. */
import { describe, expect, it } from 'vitest';
import { writeRecord } from '../../../src/core/attempts.ts';
import type { OnceStage, Step } from '../../../src/core/plan.ts';
import { PENDING } from '../../../src/core/run.ts';
import { handedOver } from './handed.ts';
import { error, harness, jsonEvent, later, step, stopClocks } from './helpers.ts';

describe('a stage with an effect that happens once', () => {
  stopClocks();

  /** Two such stages about a filter, and a delivery that fails as often as it is told to. */
  function made(failures: number, parksAt?: number) {
    const seen: string[] = [];
    const once = (name: OnceStage, more: Partial<Step> = {}): Step => ({
      name,
      once: name,
      run: () => void seen.push(name),
      ...more,
    });
    const parks = once('delay', {
      run: (run) => {
        seen.push('delay');
        if (parksAt === undefined) return undefined;
        run.park(parksAt, 'delay');
        return PENDING;
      },
    });
    const deliver = step('deliver', () => {
      seen.push('deliver');
      if (failures-- > 0) throw error();
      return undefined;
    });
    const filter = step('filter', () => void seen.push('filter'));
    return { seen, ...harness({ steps: [once('rate_limit'), filter, parks, deliver] }) };
  }

  it('is passed by when the event is tried again', () => {
    const { seen, receive, counts } = made(1);
    receive(jsonEvent({}));
    later(1_000);
    receive(jsonEvent({}, { deliveries: 2 }));
    expect(seen).toEqual(['rate_limit', 'filter', 'delay', 'deliver', 'filter', 'deliver']);
    expect(counts()).toMatchObject({ delivered: 1, retries: 1, in_flight: 0 });
  });

  it('is met by an event that failed before it', () => {
    const seen: string[] = [];
    let failures = 1;
    const fails = step('filter', () => {
      if (failures-- > 0) throw error();
      return undefined;
    });
    const limit: Step = { name: 'count', once: 'count', run: () => void seen.push('count') };
    const { receive } = harness({ steps: [fails, limit] });
    receive(jsonEvent({}));
    later(1_000);
    receive(jsonEvent({}, { deliveries: 2 }));
    expect(seen).toEqual(['count']);
  });

  it('that hands the event to a timer acks it, and the event goes on behind the stage', () => {
    const { seen, receive, parking, acks, counts } = made(0, Date.now() + 60_000);
    receive(jsonEvent({}));
    expect(counts()).toMatchObject({ received: 1, parked: 1, in_flight: 0 });
    expect(acks.answers.map(([verb]) => verb)).toEqual(['ack']);
    const [{ record, kind } = { record: undefined, kind: '' }] = parking.parked;
    expect(kind).toBe('delay');
    later(60_000);
    receive(jsonEvent({}), handedOver({ record: record && writeRecord(record) }));
    expect(seen).toEqual(['rate_limit', 'filter', 'delay', 'filter', 'deliver']);
    expect(counts()).toMatchObject({ received: 2, parked: 1, delivered: 1 });
  });

  it('is passed by when the event went back while it waited behind it, on whichever instance', () => {
    const seen: string[] = [];
    let waits = true;
    const limit: Step = { name: 'rate_limit', once: 'rate_limit', run: () => void seen.push('rate_limit') };
    const throttle = step('throttle', (run) => {
      if (waits) run.consumer.waits(run);
      return waits ? PENDING : undefined;
    });
    const first = harness({ steps: [limit, throttle] });
    first.receive(jsonEvent({}));
    first.consumer.giveBackUnstarted(0);
    expect(first.attempts.puts).toMatchObject([{ passed: 'rate_limit', used: 0, open: false }]);
    expect(first.counts()).toMatchObject({ returned: 1, in_flight: 0 });
    waits = false;
    const second = harness({ steps: [limit, throttle], attempts: first.attempts });
    second.receive(jsonEvent({}, { deliveries: 2 }));
    expect(seen).toEqual(['rate_limit']);
    expect(second.counts()).toMatchObject({ delivered: 1 });
  });

  it('stays passed when the event is put back to wait, which is told apart each time', () => {
    const { receive, parking } = harness({
      steps: [
        { name: 'rate_limit', once: 'rate_limit', run: () => undefined },
        step('throttle', (run) => {
          run.putBack(Date.now() + 60_000);
          return PENDING;
        }),
      ],
    });
    receive(jsonEvent({}));
    const [first] = parking.parked;
    expect(first).toMatchObject({ kind: 'throttle', record: { passed: 'rate_limit', throttled: 1, used: 0 } });
    later(60_000);
    receive(jsonEvent({}), handedOver({ record: first && writeRecord(first.record) }));
    expect(parking.parked[1]).toMatchObject({ record: { passed: 'rate_limit', throttled: 2 } });
  });
});
