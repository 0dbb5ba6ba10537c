/** Lines of the trail: JSON, whatever is in an event. */
import { describe, expect, it } from 'vitest';
import { type Line, LineWriter } from '../../../src/audit/lines.ts';
import { writeAttempt, writeOutcome } from '../../../src/audit/record.ts';
import type { Run } from '../../../src/core/run.ts';
import { deliverStep } from '../../../src/deliver/route.ts';
import { error, eventOf, Gate, harness, jsonEvent, outcome, route } from '../core/helpers.ts';

const gated = () => {
  const gate = new Gate();
  return { gate, ...harness({ steps: [gate] }) };
};
const plain = (text: string) => text;
const lines = new LineWriter();
const parsed = ({ page, from, to }: Line) =>
  JSON.parse(Buffer.from(page.subarray(from, to)).toString()) as Record<string, unknown>;
const lineOf = (run: Run, key?: string, redact = plain) =>
  parsed(writeOutcome(lines, run, outcome('filtered', 'no_route'), key, redact));

describe('the line of an outcome', () => {
  it('says what became of which event', () => {
    const run = gated().receive(
      jsonEvent({ id: 'o-1' }, { sequence: 7, milliseconds: 1_700_000_000_123, nanoseconds: 45 }),
    );
    expect(lineOf(run, 'o-1')).toEqual({
      kind: 'outcome',
      outcome: 'filtered',
      reason: 'no_route',
      at: expect.closeTo(Date.now(), -4) as number,
      consumer: 'billing',
      stream: 'EVENTS',
      seq: 7,
      stamp: '1700000000123000045',
      id: 'EVENTS:7',
      type: 'orders.created',
      key: 'o-1',
      ms: expect.any(Number) as number,
    });
  });

  it.each(['a"b', 'back\\slash', 'line\nbreak', 'nul\u0000', 'ä€😀', '\ud800', '\u2028', 'x'.repeat(2_000)])(
    'is JSON with the key %j in it',
    (key) => {
      const run = gated().receive(jsonEvent({}));
      expect(lineOf(run, key)['key']).toBe(JSON.parse(JSON.stringify(key.slice(0, 512))));
    },
  );

  it('has the subject of an event that cannot be decoded', () => {
    const headers = { 'Content-Type': 'application/cloudevents+json' };
    const run = gated().receive(eventOf('{', { headers, subject: 'events."x"' }));
    const line = lineOf(run);
    expect(line).toMatchObject({ subject: 'events."x"' });
    expect(line).not.toHaveProperty('id');
  });

  it('names the type as it came, the routes that confirmed, the attempt and the run', () => {
    const routes = [route('a', (delivery) => delivery.confirm()), route('b', () => undefined)];
    const { consumer, receive } = harness({ steps: [deliverStep(routes, outcome('filtered', 'no_route'))] });
    const run = receive(jsonEvent({}), {
      stream: 'EVENTS',
      subject: 'events.orders.created',
      position: { sequence: 42, milliseconds: 1, nanoseconds: 2 },
      headers: undefined,
      run: 'replay-january',
      record: JSON.stringify({ used: 1, confirmed: ['c'] }),
      routes: undefined,
      letter: undefined,
      bodyName: undefined,
    });
    run.event.setAttribute('type', 'other');
    expect(lineOf(run)).toMatchObject({
      type: 'orders.created',
      routes: ['c', 'a'],
      attempt: 2,
      run: 'replay-january',
    });
    consumer.settle.lose(run);
  });

  it('has the error that it ended with, without secrets', () => {
    const run = gated().receive(jsonEvent({}));
    run.failure = { error: error('TARGET_REJECTED', 'no: "hunter2"'), route: route('partner', () => undefined) };
    const line = lineOf(run, undefined, (text) => text.replaceAll('hunter2', '***'));
    expect(line).toMatchObject({ code: 'TARGET_REJECTED', error: 'no: "***"', target: 'partner' });
  });
});

it('the line of an attempt says why it failed and when the next one is', () => {
  const run = gated().receive(jsonEvent({}));
  const line = parsed(writeAttempt(lines, run, { error: error(), route: undefined }, 1_000.4, undefined, plain));
  expect(line).toMatchObject({ kind: 'attempt', code: 'TARGET_REJECTED', error: 'no', delay: 1_000 });
  expect(line).not.toHaveProperty('outcome');
});
