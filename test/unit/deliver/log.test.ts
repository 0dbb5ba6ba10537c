import { expect, it } from 'vitest';
import { DeliveryLog, type DeliveryRecord, KEPT } from '../../../src/deliver/log.ts';

const record = (sequence: number): DeliveryRecord => ({
  at: 0,
  consumer: 'a',
  route: 'r',
  stream: 'S',
  sequence,
  subject: 's',
  attempt: 1,
  result: 'confirmed',
  duration: 1,
  exchange: { id: String(sequence), answer: undefined, secrets: [] },
  error: undefined,
});

it('keeps the latest, the newest first, and no more', () => {
  const log = new DeliveryLog();
  expect(log.latest).toEqual([]);
  log.add(record(1));
  log.add(record(2));
  expect(log.latest.map(({ sequence }) => sequence)).toEqual([2, 1]);
  for (let sequence = 3; sequence <= 2 * KEPT + 7; sequence++) log.add(record(sequence));
  const kept = log.latest.map(({ sequence }) => sequence);
  expect(kept).toEqual(Array.from({ length: KEPT }, (_, index) => 2 * KEPT + 7 - index));
});
