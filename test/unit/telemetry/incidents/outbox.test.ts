import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { PublishListener, Publisher } from '../../../../src/deliver/ports.ts';
import { OuzelError } from '../../../../src/errors.ts';
import { incidentMessage } from '../../../../src/telemetry/incidents/message.ts';
import { Outbox } from '../../../../src/telemetry/incidents/outbox.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const message = (n: number) =>
  incidentMessage(
    'daemon.stopping',
    { version: '1', reason: String(n), uptime_s: n },
    { instance: 'i', id: `i.${n}`, time: 0 },
  );

/** A publisher that answers when it is told to, and what the outbox says. */
function setup() {
  const open: { body: string; listener: PublishListener }[] = [];
  const publisher: Publisher = {
    publish: (_subject, _headers, body, _timeout, listener) => void open.push({ body: String(body), listener }),
    publishCore: () => undefined,
  };
  const heard = { published: [] as string[], dropped: [] as string[], warned: [] as string[], prepared: 0 };
  const reasonOf = (body: string): string => (JSON.parse(body) as { reason: string }).reason;
  const outbox = new Outbox({
    published: ({ body }) => void heard.published.push(reasonOf(body)),
    dropped: ({ body }) => void heard.dropped.push(reasonOf(body)),
    warn: ({ code }) => void heard.warned.push(code),
  });
  const prepare = (): Promise<void> => {
    heard.prepared++;
    return Promise.resolve();
  };
  const take = () => {
    const first = open.shift();
    if (first === undefined) throw new Error('nothing is being published');
    return first;
  };
  return { outbox, open, heard, connect: () => outbox.connect(publisher, prepare), take };
}

const failure = (code: 'TARGET_UNAVAILABLE' | 'TARGET_NO_STREAM' | 'TARGET_TOO_LARGE') => new OuzelError(code, 'no');

it('holds what comes before there is a connection, and publishes one after another', () => {
  const { outbox, open, heard, connect, take } = setup();
  for (let n = 0; n < 3; n++) outbox.add(message(n));
  expect(open.length).toBe(0);
  connect();
  for (let n = 0; n < 3; n++) {
    expect(open.length).toBe(1);
    take().listener.confirmed(false);
  }
  expect(heard.published).toEqual(['0', '1', '2']);
});

it('holds some hundred at most; the oldest go and are counted', () => {
  const { outbox, heard, connect, take } = setup();
  for (let n = 0; n < 1000; n++) outbox.add(message(n));
  expect(outbox.length).toBe(256);
  expect(heard.dropped).toEqual(Array.from({ length: 744 }, (_, n) => String(n)));
  connect();
  for (let n = 0; n < 256; n++) take().listener.confirmed(false);
  expect(heard.published).toEqual(Array.from({ length: 256 }, (_, n) => String(744 + n)));
});

it('publishes again in order what was not confirmed: later by itself, at once when NATS is back', () => {
  const { outbox, open, heard, connect, take } = setup();
  connect();
  outbox.add(message(0));
  outbox.add(message(1));
  take().listener.failed(failure('TARGET_UNAVAILABLE'));
  expect(open.length).toBe(0);
  vi.advanceTimersByTime(500);
  take().listener.failed(failure('TARGET_UNAVAILABLE'));
  expect(open.length).toBe(0);
  outbox.resume();
  take().listener.confirmed(false);
  take().listener.confirmed(false);
  expect(heard).toMatchObject({ published: ['0', '1'], dropped: [], warned: ['TARGET_UNAVAILABLE'], prepared: 0 });
});

it('makes the stream again that is gone, and gives up what it refuses', async () => {
  const { outbox, heard, connect, take } = setup();
  connect();
  outbox.add(message(0));
  outbox.add(message(1));
  take().listener.failed(failure('TARGET_NO_STREAM'));
  await vi.advanceTimersByTimeAsync(500);
  expect(heard.prepared).toBe(1);
  take().listener.failed(failure('TARGET_TOO_LARGE'));
  await vi.advanceTimersByTimeAsync(1000);
  take().listener.confirmed(false);
  expect(heard).toMatchObject({ published: ['1'], dropped: ['0'] });
});

it('is closed when all is confirmed, or when there is no more time', async () => {
  const { outbox, heard, connect, take } = setup();
  connect();
  outbox.add(message(0));
  let closed = false;
  const done = outbox.close(new Promise(() => undefined)).then(() => (closed = true));
  await vi.advanceTimersByTimeAsync(1000);
  expect(closed).toBe(false);
  take().listener.confirmed(false);
  await done;
  expect(heard).toMatchObject({ published: ['0'], dropped: [] });

  const other = setup();
  other.outbox.add(message(0));
  await other.outbox.close(Promise.resolve());
  other.outbox.add(message(1));
  expect(other.heard).toMatchObject({ published: [], dropped: ['0', '1'] });
});
