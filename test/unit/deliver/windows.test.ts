/** Windows of messages: what is sent at once, what waits, what is counted, and that it adds up whatever goes wrong. */
import { describe, expect, it } from 'vitest';
import type { Note } from '../../../src/deliver/notify/service.ts';
import { Windows, type WindowOptions } from '../../../src/deliver/notify/windows.ts';
import { deliverStep } from '../../../src/deliver/route.ts';
import type { OuzelError } from '../../../src/errors.ts';
import { error, harness, jsonEvent, later, outcome, route, stopClocks } from '../core/helpers.ts';

const MINUTE = 60_000;

interface Sending {
  readonly text: string;
  readonly done: (failure?: OuzelError) => Promise<void>;
}

/** A consumer whose one route sends messages through windows; each sending is answered by the test. */
function world(options: Partial<WindowOptions> = {}) {
  const sendings: Sending[] = [];
  const logged: string[] = [];
  const windows = new Windows(
    { within: MINUTE, show: 2, lists: false, ...options },
    {
      send: async ({ text, tail }) => {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        const settled = async (failure?: OuzelError): Promise<void> => {
          if (failure === undefined) resolve();
          else reject(failure);
          await Promise.allSettled([promise]);
          await Promise.resolve();
        };
        sendings.push({ text: tail === undefined ? text : `${text} (${tail})`, done: settled });
        return promise;
      },
      excerpt: ({ text }) => text,
      log: (_fields, message) => logged.push(message),
    },
  );
  const made = harness({
    steps: [
      deliverStep(
        [
          route('r', (delivery) => {
            const { text, kind } = delivery.event.data as { text: string; kind: string };
            const note: Note = { id: text, title: undefined, text, tail: undefined, more: {} };
            windows.deliver(delivery, note, kind);
          }),
        ],
        outcome('filtered'),
      ),
    ],
  });
  let sequence = 0;
  return {
    ...made,
    windows,
    sendings,
    logged,
    /** How often the server was told that. */
    countOf: (verb: 'ack' | 'nak' | 'working') => made.acks.answers.filter(([each]) => each === verb).length,
    say: (text: string, kind = 'k') => made.receive(jsonEvent({ text, kind }, { sequence: ++sequence })),
    /** Answers the sending that has waited longest, and says what it was. */
    answer: async (failure?: OuzelError): Promise<string> => {
      const next = sendings.shift();
      if (next === undefined) throw new Error('nothing is being sent');
      await next.done(failure);
      return next.text;
    },
  };
}

describe('windows', () => {
  stopClocks();

  it('send the first at once, and say at the end what was held back', async () => {
    const { say, answer, sendings, consumer, countOf } = world();
    say('one');
    expect(await answer()).toBe('one');
    for (const text of ['two', 'three', 'four', 'five']) say(text);
    expect(sendings).toEqual([]);
    // Two wait in hand, two are counted.
    expect(consumer.held).toBe(2);
    expect(countOf('ack')).toBe(3);
    later(MINUTE);
    expect(await answer()).toBe('two\nthree (and 4 more in 1 minute)');
    expect(consumer.held).toBe(0);
    expect(countOf('ack')).toBe(5);
    // A window follows in which nothing comes; then the first is sent at once again.
    say('six');
    later(MINUTE);
    expect(await answer()).toBe('six (and 1 more in 1 minute)');
    later(MINUTE);
    expect(sendings).toEqual([]);
    say('seven');
    expect(await answer()).toBe('seven');
  });

  it('count nothing before one like it was sent: when that is refused, the next one is tried', async () => {
    const { say, answer, countOf, consumer } = world();
    for (const text of ['one', 'two', 'three', 'four', 'five']) say(text);
    expect(consumer.held).toBe(5);
    expect(await answer(error('TARGET_REJECTED_FOR_GOOD'))).toBe('one');
    expect(await answer()).toBe('two');
    // The dead letter, the one that was sent, and the one that is counted.
    expect(countOf('ack')).toBe(3);
    later(MINUTE);
    expect(await answer()).toBe('three\nfour (and 3 more in 1 minute)');
  });

  it('keep the number while the service is away, and say it with the next message', async () => {
    const { say, answer, logged, sendings, countOf } = world({ show: 1 });
    say('one');
    await answer();
    for (const text of ['two', 'three', 'four']) say(text);
    later(MINUTE);
    expect(await answer(error('TARGET_UNAVAILABLE'))).toBe('two (and 3 more in 1 minute)');
    expect(logged.length).toBe(1);
    expect(countOf('nak')).toBe(1);
    say('five');
    expect(await answer()).toBe('five (and 2 more in 1 minute)');
    expect(sendings).toEqual([]);
  });

  it('try again by themselves when nothing follows', async () => {
    const { say, answer } = world({ show: 1 });
    say('one');
    await answer();
    for (const text of ['two', 'three']) say(text);
    later(MINUTE);
    await answer(error('TARGET_UNAVAILABLE'));
    later(MINUTE);
    expect(await answer()).toBe('three (and 1 more in 2 minutes)');
  });

  it('tell kinds apart up to a bound, and take all beyond it for one', async () => {
    const { say, sendings } = world();
    for (let kind = 0; kind < 1002; kind++) say(`${kind}`, `${kind}`);
    expect(sendings.length).toBe(1001);
    expect(sendings.at(-1)?.text).toBe('1000');
    await Promise.all(sendings.map(({ done }) => done()));
  });

  it('hold no more in hand than a share of what the consumer may have', async () => {
    const { say, answer, consumer } = world({ show: 50 });
    consumer.limits = { ...consumer.limits, prefetch: 8 };
    say('0');
    await answer();
    for (let count = 1; count < 10; count++) say(`${count}`);
    expect(consumer.held).toBe(2);
  });

  it('give back what waits when the consumer stops, and say what was counted', async () => {
    const { say, answer, consumer, windows, countOf } = world({ lists: true });
    say('one');
    await answer();
    for (const text of ['two', 'three', 'four', 'five']) say(text);
    consumer.draining = true;
    consumer.giveBackUnstarted(0);
    expect(countOf('nak')).toBe(2);
    const closed = windows.close();
    expect(await answer()).toBe('four\nfive');
    await closed;
    expect(consumer.held).toBe(0);
  });

  it('leave out what was given back, and keep what waits alive for longer than an attempt may take', async () => {
    const { say, answer, consumer, countOf } = world();
    say('one');
    await answer();
    consumer.limits = { ...consumer.limits, ackWait: MINUTE / 4 };
    say('two');
    say('three');
    for (let at = 0; at < 4; at++) {
      later(MINUTE / 6);
      consumer.sweep(performance.now());
    }
    expect(consumer.held).toBe(2);
    expect(countOf('working')).toBeGreaterThan(2);
    const [first] = consumer.runs();
    if (first !== undefined) consumer.settle.giveBack(first);
    later(MINUTE);
    expect(await answer()).toBe('three (and 1 more in 1 minute)');
    expect(consumer.held).toBe(0);
  });
});
