import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { headerBlock, headerLine } from '../../../src/core/headers.ts';
import { headerBytes, replyBytes, subjectNumber, Wire } from '../../../src/nats/wire.ts';
import { bytes } from '../core/helpers.ts';

const text = (part: Uint8Array): string => Buffer.from(part).toString();

/** A connection whose protocol writes down what it is to send. */
function wired() {
  const sent: Uint8Array[] = [];
  const protocol = { connected: true, sendCommand: (command: Uint8Array) => void sent.push(command) };
  const wire = new Wire({ protocol, isClosed: () => false } as unknown as NatsConnection);
  return { wire, protocol, sent, all: () => sent.map(text).join('') };
}

interface Published {
  readonly subject: string;
  readonly body: string;
  readonly reply: string | undefined;
  readonly headers: readonly string[] | undefined;
}

/** A connection of which only the public interface is known. */
function publicly(extra: object = {}) {
  const published: Published[] = [];
  const connection = {
    isClosed: () => false,
    publish: (
      subject: string,
      body: Uint8Array,
      options: { reply?: string; headers?: Iterable<[string, string[]]> } = {},
    ) =>
      void published.push({
        subject,
        body: text(body),
        reply: options.reply,
        headers:
          options.headers && [...options.headers].flatMap(([name, values]) => values.map((each) => `${name}=${each}`)),
      }),
    ...extra,
  };
  return { wire: new Wire(connection as unknown as NatsConnection), published };
}

let scheduled: (() => void)[];

beforeEach(() => {
  scheduled = [];
  vi.spyOn(globalThis, 'setImmediate').mockImplementation(((task: () => void) => {
    scheduled.push(task);
  }) as unknown as typeof setImmediate);
});
afterEach(() => void vi.restoreAllMocks());

const endOfTurn = (): void => {
  for (const task of scheduled.splice(0)) task();
};

describe('Wire', () => {
  it('writes a turn of commands as one buffer', () => {
    const { wire, sent, all } = wired();
    wire.ack(bytes('r.1'));
    wire.working(bytes('r.2'));
    wire.nak(bytes('r.3'), 0);
    wire.nak(bytes('r.4'), 1500.4);
    wire.request('$JS.API.X', 'inbox.1', '{"ä":1}');
    wire.publish('a.b', 'inbox.2', 'NATS/1.0\r\n\r\n', 'hi');
    wire.publish('a.b', '', 'NATS/1.0\r\n\r\n', new Uint8Array([104, 105]));
    expect(sent).toEqual([]);
    expect(scheduled).toHaveLength(1);
    endOfTurn();
    expect(sent).toHaveLength(1);
    expect(all()).toBe(
      'PUB r.1 4\r\n+ACK\r\nPUB r.2 4\r\n+WPI\r\nPUB r.3 4\r\n-NAK\r\nPUB r.4 26\r\n-NAK {"delay": 1500000000}\r\n' +
        'PUB $JS.API.X inbox.1 8\r\n{"ä":1}\r\n' +
        'HPUB a.b inbox.2 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHPUB a.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\n',
    );
  });

  it('counts bytes, not characters', () => {
    const { wire, all } = wired();
    const headers = headerBlock(headerLine('N', 'Grüße'));
    wire.publish('ä.b', 'r', headers, '€');
    endOfTurn();
    const size = Buffer.byteLength(headers);
    expect(all()).toBe(`HPUB ä.b r ${size} ${size + 3}\r\n${headers}€\r\n`);
  });

  it('does not touch again what it handed over', () => {
    const { wire, sent } = wired();
    wire.ack(bytes('first'));
    endOfTurn();
    const before = text(sent[0] as Uint8Array);
    for (let index = 0; index < 5000; index++) {
      wire.ack(bytes(`reply.${index}`));
      if (index % 100 === 0) endOfTurn();
    }
    wire.publish('a', '', 'NATS/1.0\r\n\r\n', 'x'.repeat(200_000));
    endOfTurn();
    expect(text(sent[0] as Uint8Array)).toBe(before);
  });

  it('loses and reorders nothing over many chunks', () => {
    const { wire, all } = wired();
    let expected = '';
    for (let index = 0; index < 20_000; index++) {
      wire.ack(bytes(`$JS.ACK.EVENTS.billing.1.${index}.1.1.1`));
      expected += `PUB $JS.ACK.EVENTS.billing.1.${index}.1.1.1 4\r\n+ACK\r\n`;
      if (index % 777 === 0) endOfTurn();
    }
    endOfTurn();
    expect(all()).toBe(expected);
  });

  it.each([60_000, 64 * 1024, 64 * 1024 - 40, 100_000, 1024 * 1024])(
    'takes a message of %i bytes between small ones',
    (size) => {
      const { wire, all } = wired();
      wire.ack(bytes('r.1'));
      wire.publish('big', '', 'NATS/1.0\r\n\r\n', 'x'.repeat(size));
      wire.ack(bytes('r.2'));
      endOfTurn();
      expect(all()).toBe(
        `PUB r.1 4\r\n+ACK\r\nHPUB big 12 ${12 + size}\r\nNATS/1.0\r\n\r\n${'x'.repeat(size)}\r\nPUB r.2 4\r\n+ACK\r\n`,
      );
    },
  );

  it('holds what it is told while disconnected, and sends it in order after', () => {
    const { wire, protocol, all } = wired();
    wire.ack(bytes('r.0'));
    protocol.connected = false;
    endOfTurn();
    wire.ack(bytes('r.1'));
    endOfTurn();
    wire.nak(bytes('r.2'), 0);
    endOfTurn();
    expect(all()).toBe('');
    protocol.connected = true;
    wire.resume();
    expect(all()).toBe('PUB r.0 4\r\n+ACK\r\nPUB r.1 4\r\n+ACK\r\nPUB r.2 4\r\n-NAK\r\n');
    wire.resume();
    wire.ack(bytes('r.3'));
    endOfTurn();
    expect(all().match(/\+ACK/g)).toHaveLength(3);
  });

  it('does not pile up signs of life while disconnected', () => {
    const { wire, protocol, all } = wired();
    protocol.connected = false;
    for (let index = 0; index < 1000; index++) wire.working(bytes('r.1'));
    endOfTurn();
    protocol.connected = true;
    wire.resume();
    expect(all()).toBe('');
  });

  it('flushes nothing where nothing is to be sent', () => {
    const { wire, sent } = wired();
    wire.flush();
    wire.ack(bytes('r'));
    wire.flush();
    endOfTurn();
    expect(sent).toHaveLength(1);
  });
});

describe('where the protocol is not as it is known', () => {
  it.each<[name: string, extra: object]>([
    ['missing', {}],
    ['null', { protocol: null }],
    ['without sendCommand', { protocol: { connected: true } }],
    ['without connected', { protocol: { sendCommand: () => undefined } }],
  ])('(%s), the public interface publishes the same', (_name, extra) => {
    const { wire, published } = publicly(extra);
    expect(wire.connected).toBe(true);
    wire.ack(bytes('r.1'));
    wire.nak(bytes('r.2'), 5);
    wire.request('$JS.API.X', 'inbox.1', '{}');
    wire.publish(
      'a.b',
      'inbox.2',
      headerBlock(headerLine('A', '1') + headerLine('A', 'ü') + headerLine('B', '')),
      'body\r\n\r\n',
    );
    wire.publish('a.c', '', headerBlock(''), new Uint8Array(0));
    endOfTurn();
    expect(published).toEqual([
      { subject: 'r.1', body: '+ACK', reply: undefined, headers: undefined },
      { subject: 'r.2', body: '-NAK {"delay": 5000000}', reply: undefined, headers: undefined },
      { subject: '$JS.API.X', body: '{}', reply: 'inbox.1', headers: undefined },
      { subject: 'a.b', body: 'body\r\n\r\n', reply: 'inbox.2', headers: ['A=1', 'A=ü', 'B='] },
      { subject: 'a.c', body: '', reply: undefined, headers: [] },
    ]);
  });

  it('a closed connection is not connected', () =>
    expect(publicly({ isClosed: () => true }).wire.connected).toBe(false));
});

describe('the bytes of a message', () => {
  const raw = (subject: string, reply: string | undefined, hdr: number, data: string): Msg =>
    ({
      _msg: { subject: bytes(subject), reply: reply === undefined ? undefined : bytes(reply), hdr },
      _rdata: bytes(data),
    }) as unknown as Msg;

  it('are as the parser left them', () => {
    const message = raw('a.7', 'r', 12, 'NATS/1.0\r\n\r\nbody');
    expect(text(replyBytes(message))).toBe('r');
    expect(text(headerBytes(message) as Uint8Array)).toBe('NATS/1.0\r\n\r\n');
    expect(subjectNumber(message)).toBe(7);
    expect(replyBytes(raw('a', undefined, -1, ''))).toHaveLength(0);
    expect(headerBytes(raw('a', undefined, -1, 'body'))).toBeUndefined();
  });

  it('come from the public interface where they must', () => {
    const headers = Object.assign(new Map([['A', ['1', '2']]]), { code: 503, description: 'No Responders' });
    const message = { subject: 'inbox.12', reply: 'r', headers } as unknown as Msg;
    expect(text(replyBytes(message))).toBe('r');
    expect(text(headerBytes(message) as Uint8Array)).toBe('NATS/1.0 503 No Responders\r\nA: 1\r\nA: 2\r\n\r\n');
    expect(subjectNumber(message)).toBe(12);
    const bare = { subject: 'x', reply: undefined, headers: undefined } as unknown as Msg;
    expect(replyBytes(bare)).toHaveLength(0);
    expect(headerBytes(bare)).toBeUndefined();
  });

  it.each([
    ['_INBOX.abc.0', 0],
    ['_INBOX.abc.907', 907],
    ['_INBOX.abc.9007199254740991', 9007199254740991],
    ['_INBOX.abc.', -1],
    ['_INBOX.abc.x', -1],
    ['_INBOX.abc.1x', -1],
    ['_INBOX.abc.x1', -1],
    ['12', -1],
    ['', -1],
  ])('%s ends with %i', (subject, number) => expect(subjectNumber(raw(subject, undefined, -1, ''))).toBe(number));
});
