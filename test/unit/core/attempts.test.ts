import { describe, expect, it } from 'vitest';
import {
  Acked,
  type AttemptRecord,
  Delayed,
  newerRecord,
  NO_ATTEMPTS,
  readRecord,
  withCutOff,
  writeRecord,
} from '../../../src/core/attempts.ts';
import type { Event } from '../../../src/core/event.ts';
import { jsonEvent } from './helpers.ts';

const FULL: AttemptRecord = {
  used: 2,
  cutOffs: 1,
  open: true,
  alone: true,
  suspect: true,
  grave: true,
  deferred: 3,
  firstFailedAt: 1_767_322_000_000,
  failedAt: 1_767_322_060_000,
  doubtful: true,
  confirmed: ['archive', 'ä "quoted" name'],
  next: 1_767_322_120_000,
  passed: 'delay',
  throttled: 4,
};

describe('a record', () => {
  it.each([
    ['full', FULL],
    ['empty', NO_ATTEMPTS],
  ])('is read as it was written (%s)', (_name, record) => {
    expect(readRecord(writeRecord(record))).toEqual(record);
  });

  it('is written without line breaks, since it travels in a header', () => {
    expect(writeRecord({ ...FULL, confirmed: ['a\r\nNats-Rollup: all'] })).not.toMatch(/[\r\n]/);
  });

  it.each(['', '{', 'null', '1', '"text"', 'true', '[]', '[{"used":1}]', '\u0000'])('is not seen in %j', (text) =>
    expect(readRecord(text)).toBeUndefined(),
  );

  it.each<[text: string, read: Partial<AttemptRecord>]>([
    ['{}', {}],
    ['{"used":1,"later":"versions may know more"}', { used: 1 }],
    ['{"used":-1,"deferred":-0.5,"next":-1e9}', {}],
    ['{"used":1e999,"deferred":"3","firstFailedAt":null,"failedAt":{},"next":[1]}', {}],
    ['{"open":"true","doubtful":1}', {}],
    ['{"confirmed":"archive"}', {}],
    ['{"confirmed":{"0":"archive","length":1}}', {}],
    ['{"confirmed":[1,null,"a"]}', { confirmed: ['1', 'null', 'a'] }],
    ['{"__proto__":{"used":9,"open":true},"used":1}', { used: 1 }],
    ['{"__proto__":{"used":9,"open":true}}', {}],
    ['{"constructor":{"prototype":{"used":9}}}', {}],
  ])('takes of %s what is a record, and no more', (text, read) =>
    expect(readRecord(text)).toStrictEqual({ ...NO_ATTEMPTS, ...read }),
  );

  it('whose attempt never ended makes a suspect, and counts for an event that ran alone', () => {
    expect(withCutOff(FULL)).toEqual({ ...FULL, cutOffs: 2, open: false, alone: false });
    const among = { ...NO_ATTEMPTS, used: 1, open: true };
    expect(withCutOff(among)).toEqual({ ...NO_ATTEMPTS, used: 1, suspect: true });
    // A suspect that had been let go on beside others: it will run all alone.
    const loosened = { ...among, suspect: true };
    expect(withCutOff(loosened)).toEqual({ ...NO_ATTEMPTS, used: 1, suspect: true, grave: true });
    const ended = { ...FULL, open: false };
    expect(withCutOff(ended)).toEqual(ended);
    expect(withCutOff(withCutOff(FULL))).toEqual(withCutOff(FULL));
  });
});

describe('of two records', () => {
  const [before, after] = [
    { ...NO_ATTEMPTS, next: 1 },
    { ...NO_ATTEMPTS, next: 2 },
  ];

  it.each<[name: string, older: Partial<AttemptRecord>, newer: Partial<AttemptRecord>]>([
    ['used more', { used: 1 }, { used: 2 }],
    ['was put off more often', { used: 1, deferred: 1 }, { used: 1, deferred: 2 }],
    ['has both in sum', { used: 3 }, { used: 2, deferred: 2 }],
    ['has begun another attempt', { used: 1 }, { used: 1, open: true }],
    ['heard of the end of what the other has open', { used: 1, open: true }, { used: 2 }],
    ['put off what the other has open', { used: 1, open: true }, { used: 1, deferred: 1 }],
  ])('the one that %s is the newer', (_name, older, newer) => {
    const [left, right] = [
      { ...before, ...older },
      { ...after, ...newer },
    ];
    expect(newerRecord(left, right)).toBe(right);
    expect(newerRecord(right, left)).toBe(right);
  });

  it('that know the same the first is taken', () => {
    expect(newerRecord(before, after)).toBe(before);
    expect(newerRecord(after, before)).toBe(after);
  });

  it('one that is not there is the older', () => {
    expect(newerRecord(undefined, before)).toBe(before);
    expect(newerRecord(before, undefined)).toBe(before);
    expect(newerRecord(undefined, undefined)).toBeUndefined();
  });
});

describe('Delayed', () => {
  it('counts those that have not come again', () => {
    const delayed = new Delayed();
    for (const sequence of [5, 3, 9]) delayed.add(sequence, 1000);
    expect(delayed.size).toBe(3);
    delayed.remove(3);
    delayed.remove(4);
    expect(delayed.size).toBe(2);
    delayed.clear();
    expect(delayed.size).toBe(0);
  });

  it('counts an event once, however often it was given back, by when it is due last', () => {
    const delayed = new Delayed();
    delayed.add(1, 1000);
    delayed.add(1, 5000);
    delayed.forgetBefore(2000);
    expect(delayed.size).toBe(1);
  });

  it('forgets those that were due and went to another instance', () => {
    const delayed = new Delayed();
    for (const due of [1000, 2000, 3000]) delayed.add(due / 1000, due);
    delayed.forgetBefore(2000);
    expect(delayed.size).toBe(2);
  });
});

describe('Acked', () => {
  const place = (sequence: number, milliseconds = sequence * 1000, deliveries = 1) => ({
    event: jsonEvent({}, { sequence, milliseconds, deliveries }),
    handed: undefined,
  });

  it('knows an event again by its place in the stream, whichever delivery brings it', () => {
    const acked = new Acked();
    expect(acked.has(place(7))).toBe(false);
    acked.add(place(7));
    expect(acked.has(place(7, 7000, 5))).toBe(true);
    expect(acked.has(place(8))).toBe(false);
  });

  it('knows what was handed over by the message that brought it, not by the event', () => {
    const acked = new Acked();
    const handedAt = (sequence: number) => {
      const { event } = place(7);
      const { position, stream } = event;
      const due = { ...position, sequence };
      const rest = { headers: undefined, run: '', record: undefined, routes: undefined, letter: undefined };
      return { event, handed: { ...rest, stream, subject: 'x', position, bodyName: undefined, due } };
    };
    acked.add(handedAt(1));
    expect([acked.has(handedAt(1)), acked.has(handedAt(2)), acked.has(place(7))]).toEqual([true, false, false]);
    acked.add(place(7));
    expect([acked.has(handedAt(2)), acked.has(place(7))]).toEqual([false, true]);
  });

  it('does not take another event of that number for it: the stream was made anew', () => {
    const acked = new Acked();
    acked.add(place(7, 1));
    expect(acked.has(place(7, 2))).toBe(false);
    acked.add(place(7, 2));
    expect([acked.has(place(7, 1)), acked.has(place(7, 2)), acked.has(place(7, 3))]).toEqual([true, true, false]);
  });

  it('remembers every one of the last 8,192, and in the end 16,384, however often it has come round', () => {
    const acked = new Acked();
    const event = jsonEvent({});
    // Of one event: to make each from its text takes longer than all the rest.
    const at = (sequence: number) => ({
      event: Object.create(event, {
        position: { value: { ...event.position, sequence, milliseconds: sequence } },
      }) as Event,
      handed: undefined,
    });
    const knows = (...sequences: number[]) => sequences.map((sequence) => acked.has(at(sequence)));
    for (let sequence = 1; sequence <= 16_384; sequence++) {
      acked.add(at(sequence));
      // At each of its sizes, and behind the first of each.
      if (Number.isInteger(Math.log2(sequence)) || Number.isInteger(Math.log2(sequence - 1)))
        expect(knows(1, Math.ceil(sequence / 2), sequence, sequence + 1)).toEqual([true, true, true, false]);
    }
    acked.add(at(16_385));
    expect(knows(1, 2, 16_384, 16_385)).toEqual([false, true, true, true]);
    for (let sequence = 16_386; sequence <= 40_000; sequence++) acked.add(at(sequence));
    expect(knows(40_000 - 16_384, 40_000 - 16_383, 40_000)).toEqual([false, true, true]);
  });
});
