import { describe, expect, it } from 'vitest';
import { KeyTable } from '../../../src/flow/key-table.ts';
import { random } from '../core/helpers.ts';

describe('KeyTable', () => {
  it('keeps what a map does, over growth and while idle keys go', () => {
    let now = 0;
    const table = new KeyTable(2, (until) => until <= now);
    const model = new Map<string, [number, number]>();
    const next = random(3);
    const wrong: string[] = [];
    for (let step = 0; step < 20_000; step++) {
      now++;
      const key = `key-${Math.floor(next() * 3_000)}`;
      const known = model.get(key);
      const slot = table.find(key);
      // What is idle may be forgotten, and never what is not.
      if (known !== undefined && known[0] > now) {
        if (slot === -1 || table.get(slot, 0) !== known[0] || table.get(slot, 1) !== known[1]) wrong.push(key);
      } else if (slot !== -1 && table.get(slot, 0) > now) wrong.push(key);
      const value: [number, number] = [now + Math.floor(next() * 500), step];
      const claimed = table.claim(key);
      table.set(claimed, 0, value[0]);
      table.set(claimed, 1, value[1]);
      model.set(key, value);
    }
    expect(wrong).toEqual([]);
    // Some 500 are busy at a time.
    expect(table.size).toBeLessThan(2_000);
  });

  it('is bounded: when it is full of busy keys, others share their slots', () => {
    const table = new KeyTable(1, (until) => until <= 0, 256);
    for (let key = 0; key < 10_000; key++) table.set(table.claim(`key-${key}`), 0, 1);
    expect(table.size).toBe(192);
    const shared = table.claim('another');
    expect(table.get(shared, 0)).toBe(1);
    expect(table.find('another')).toBe(-1);
  });

  it('gives a key that was idle a slot of zeros', () => {
    const table = new KeyTable(1, () => true);
    table.set(table.claim('a'), 0, 17);
    for (let key = 0; key < 200; key++) table.claim(`key-${key}`);
    expect(table.get(table.claim('a'), 0)).toBe(0);
  });

  it('has a million busy keys in less than 150 MB, while it grows too', () => {
    const table = new KeyTable(2, (until) => until <= 0);
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    for (let key = 0; key < 1_000_000; key++) {
      table.set(table.claim(`customer-${key}`), 0, key + 1);
      if (key % 10_000 === 0) most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    expect(table.size).toBe(1_000_000);
    expect(table.get(table.find('customer-999999'), 0)).toBe(1_000_000);
    expect(most / 1e6).toBeLessThan(150);
  });
});
