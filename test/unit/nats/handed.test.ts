import { describe, expect, it } from 'vitest';
import { type Decoder, type Event } from '../../../src/core/event.ts';
import { createDecoder } from '../../../src/contracts/decode.ts';
import { type Handover, handoverLines } from '../../../src/core/handover.ts';
import { headerBlock } from '../../../src/core/headers.ts';
import type { Alarm } from '../../../src/flow/debounce.ts';
import { openHanded } from '../../../src/nats/handed.ts';
import { bytes } from '../core/helpers.ts';
import { handedOver, redriven } from '../core/handed.ts';

const BODY = '{"total":1}';

/** Opens a message on `ouzel.due.billing`, and answers with what comes of it. */
function opening(bodies: (name: string) => Promise<Uint8Array | undefined> = () => Promise.reject(new Error('asked'))) {
  const taken: [event: Event, handed: Handover | undefined][] = [];
  const warnings: string[] = [];
  const alarms: Alarm[] = [];
  const cancelled: Handover[] = [];
  let decode: Decoder = createDecoder({ stream: 'EVENTS', strip: 'events.', source: undefined });
  const open = openHanded({
    decode: () => decode,
    bodies: { get: bodies },
    alarm: (alarm) => void alarms.push(alarm),
    cancelled: (_event, handed) => void cancelled.push(handed),
    onWarning: (message) => void warnings.push(message),
  });
  return {
    taken,
    warnings,
    alarms,
    cancelled,
    decodeBy: (other: Decoder): void => void (decode = other),
    open: (lines: string, body = BODY, deliveries = 1) =>
      open(
        {
          subject: 'ouzel.due.billing',
          reply: bytes('reply.due'),
          headers: bytes(headerBlock(lines)),
          body: bytes(body),
        },
        { sequence: 9, deliveries, milliseconds: 999, nanoseconds: 9 },
        (event, handed) => void taken.push([event, handed]),
      ),
  };
}

describe('a due message', () => {
  it('that was cancelled is not taken', () => {
    const { taken, cancelled, open } = opening();
    open(handoverLines({ ...redriven(), cancelled: true }));
    expect(taken).toEqual([]);
    expect(cancelled).toMatchObject([{ cancelled: true }]);
  });

  it('that is an alarm brings no event', () => {
    const { taken, alarms, open } = opening();
    open('Ouzel-Alarm: a-key\r\nOuzel-Due: 2026-01-02T03:04:05.006Z\r\n', '');
    expect(taken).toEqual([]);
    expect(alarms).toEqual([{ place: 'a-key', at: Date.UTC(2026, 0, 2, 3, 4, 5, 6), id: '9.999' }]);
  });

  it('is the event that it was in its stream, answered for by the message that brought it', () => {
    const { open, taken } = opening();
    const headers = bytes(headerBlock('Nats-Msg-Id: m-1\r\nOuzel-Hops: 2\r\n'));
    const position = { sequence: 42, milliseconds: 1_767_322_000_001, nanoseconds: 23 };
    open(handoverLines(redriven({ headers, position, record: '{"used":1}', routes: ['b'] })), BODY, 3);
    const [event, handed] = taken[0] ?? [];
    expect(event?.stream).toBe('EVENTS');
    expect(event?.position).toEqual({ ...position, deliveries: 3 });
    expect(event?.carrier).toMatchObject({ subject: 'events.orders.created', reply: bytes('reply.due') });
    expect(event).toMatchObject({ id: 'm-1', type: 'orders.created', data: { total: 1 } });
    expect(event?.header('Ouzel-Hops')).toBe('2');
    expect(event?.header('Ouzel-Letter')).toBeUndefined();
    expect(handed).toMatchObject({ run: 'redrive-7', letter: 7, record: '{"used":1}', routes: ['b'] });
  });

  it('has no headers where its event had none', () => {
    const { open, taken } = opening();
    open(handoverLines(handedOver()));
    expect(taken[0]?.[0].carrier.headers).toBeUndefined();
    expect(taken[0]?.[0].id).toBe('EVENTS:42');
  });

  it('is decoded as the consumer is configured when it comes', () => {
    const { open, taken, decodeBy } = opening();
    decodeBy(createDecoder({ stream: 'EVENTS', strip: 'events.orders.', source: undefined }));
    open(handoverLines(handedOver()));
    expect(taken[0]?.[0].type).toBe('created');
  });

  it('that somebody published there is an event like any other', () => {
    const { open, taken } = opening();
    open('X-Own: 1\r\n');
    const [event, handed] = taken[0] ?? [];
    expect(handed).toBeUndefined();
    expect(event).toMatchObject({ stream: 'OUZEL_TIMERS', position: { sequence: 9, milliseconds: 999 } });
    expect(event?.carrier.subject).toBe('ouzel.due.billing');
  });
});

describe('a body that is stored apart', () => {
  const lines = handoverLines(handedOver({ bodyName: 'large' }));

  it('is fetched before the event is taken', async () => {
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    const asked: string[] = [];
    const { open, taken } = opening((name) => {
      asked.push(name);
      return promise;
    });
    open(lines, '');
    await Promise.resolve();
    expect([asked, taken]).toEqual([['large'], []]);
    resolve(bytes('{"total":7}'));
    await promise;
    await Promise.resolve();
    expect(taken[0]?.[0].data).toEqual({ total: 7 });
    expect(taken[0]?.[1]?.bodyName).toBe('large');
  });

  it('that is gone makes the event one that cannot be decoded', async () => {
    const { open, taken, warnings } = opening(() => Promise.resolve(undefined));
    open(lines, '');
    await expect.poll(() => taken.length).toBe(1);
    expect(() => taken[0]?.[0].data).toThrow(expect.objectContaining({ code: 'EVENT_UNDECODABLE' }));
    expect(() => taken[0]?.[0].data).toThrow('large');
    expect(warnings).toEqual([]);
  });

  it('that cannot be read leaves the event to be delivered again', async () => {
    const { open, taken, warnings } = opening(() => Promise.reject(new Error('no responders')));
    open(lines, '');
    await expect.poll(() => warnings).toEqual([expect.stringContaining('no responders')]);
    expect(taken).toEqual([]);
  });
});
