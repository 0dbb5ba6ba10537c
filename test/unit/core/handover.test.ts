import { describe, expect, it } from 'vitest';
import {
  formatTimestamp,
  type Handover,
  handoverLines,
  parseTimestamp,
  readHandover,
} from '../../../src/core/handover.ts';
import { headerBlock } from '../../../src/core/headers.ts';
import {
  dueSubject,
  TIMER_STREAM,
  TIMER_STREAM_OPTIONS,
  TIMER_SUBJECTS,
  timerSubject,
} from '../../../src/nats/timers.ts';

const block = (lines: string): Uint8Array => Buffer.from(headerBlock(lines));

const FULL: Handover = {
  stream: 'EVENTS',
  subject: 'events.orders.created',
  position: { sequence: 42, milliseconds: 1_767_322_000_001, nanoseconds: 23 },
  headers: block('Nats-Msg-Id: ü\r\nX-Own:  two\r\n'),
  run: 'redrive-7-abc',
  record: '{"used":1}',
  routes: ['partner', 'archive'],
  letter: 7,
  bodyName: 'a.b.c',
};

describe('a handover', () => {
  it('is read as it was written', () => {
    const least: Handover = {
      ...FULL,
      headers: undefined,
      run: '',
      record: undefined,
      routes: undefined,
      letter: undefined,
      bodyName: undefined,
    };
    for (const handover of [FULL, least]) {
      const read = readHandover(block(handoverLines(handover)));
      const { headers } = read ?? {};
      expect({ ...read, headers: undefined }).toEqual({ ...handover, headers: undefined });
      expect(headers && Buffer.from(headers)).toEqual(handover.headers && Buffer.from(handover.headers));
    }
  });

  it.each([
    ['without headers', undefined],
    ['without a place in a stream', block('X: 1\r\n')],
    ['with a time that is none', block(handoverLines(FULL).replace(/Ouzel-Time: .*/, 'Ouzel-Time: yesterday'))],
    ['with a number that is none', block(handoverLines(FULL).replace(/Ouzel-Sequence: .*/, 'Ouzel-Sequence: x'))],
  ])('is not seen in a message %s', (_what, headers) => expect(readHandover(headers)).toBeUndefined());

  it('keeps the nanoseconds of the stream', () => {
    const written = formatTimestamp(FULL.position);
    expect(written).toBe('2026-01-02T02:46:40.001000023Z');
    expect(parseTimestamp(written)).toEqual({ milliseconds: 1_767_322_000_001, nanoseconds: 23 });
    expect(parseTimestamp('2026-01-02T02:46:40.001Z')).toEqual({ milliseconds: 1_767_322_000_001, nanoseconds: 0 });
    expect(parseTimestamp('2026-01-02T02:46:40Z')).toEqual({ milliseconds: 1_767_322_000_000, nanoseconds: 0 });
  });

  it('stands on subjects that the stream of timers takes', () => {
    expect(TIMER_STREAM).toBe('OUZEL_TIMERS');
    expect(TIMER_SUBJECTS).toEqual(['ouzel.timer.>', 'ouzel.due.*']);
    expect(TIMER_STREAM_OPTIONS).toMatchObject({ retention: 'workqueue', allow_msg_schedules: true });
    expect(dueSubject('billing')).toBe('ouzel.due.billing');
    expect(timerSubject('billing', 'retry', 'a.b-c')).toBe('ouzel.timer.billing.retry.a_b-c');
  });
});
