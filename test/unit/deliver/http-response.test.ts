/** Answers as they come over a connection: every way to frame one, in any pieces, and what is none. */
import { describe, expect, it } from 'vitest';
import { ResponseParser } from '../../../src/deliver/http/response.ts';

interface Read {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  readonly ended: boolean;
  readonly keepsOpen: boolean;
  readonly keepsFor: number | undefined;
}

/** @param size Bytes of a piece. */
function read(text: string, { size = text.length, closes = false } = {}): Read {
  const parser = new ResponseParser();
  let status: number | undefined;
  let headers: Readonly<Record<string, unknown>> = {};
  let body = '';
  let ended = false;
  parser.begin({
    started: (code, given) => {
      expect(status).toBe(undefined);
      status = code;
      headers = { ...given };
    },
    data: (bytes) => {
      expect(ended).toBe(false);
      body += bytes.toString('latin1');
    },
    ended: () => {
      expect(ended).toBe(false);
      ended = true;
    },
  });
  const bytes = Buffer.from(text, 'latin1');
  for (let at = 0; at < bytes.length; at += size) parser.push(bytes.subarray(at, at + size));
  if (closes) parser.finish();
  return { status, headers, body, ended, keepsOpen: parser.keepsOpen, keepsFor: parser.keepsFor };
}

const OK = 'HTTP/1.1 200 OK\r\n';

/** Each with what it is read as; `closes`: the connection is closed behind it. */
const ANSWERS: Readonly<Record<string, readonly [text: string, is: Partial<Read>, closes?: boolean]>> = {
  'a length': [
    `${OK}Content-Length: 5\r\nX: a\r\n\r\nhello`,
    { status: 200, body: 'hello', ended: true, keepsOpen: true },
  ],
  'no length at all, of 204': ['HTTP/1.1 204 No Content\r\n\r\n', { status: 204, ended: true, keepsOpen: true }],
  'no text behind the status': ['HTTP/1.1 204\r\n\r\n', { status: 204, ended: true, keepsOpen: true }],
  'a body of nothing': [`${OK}content-length: 0\r\n\r\n`, { body: '', ended: true, keepsOpen: true }],
  'the same length twice': [`${OK}content-length: 2, 2\r\ncontent-length: 2\r\n\r\nhi`, { body: 'hi', ended: true }],
  'less than was said': [`${OK}content-length: 5\r\n\r\nhel`, { body: 'hel', ended: false }, true],
  'more than was said': [`${OK}content-length: 2\r\n\r\nhi${OK}\r\n`, { body: 'hi', ended: true, keepsOpen: false }],
  'no length: to the end of the connection': [`${OK}\r\nhello`, { body: 'hello', ended: true, keepsOpen: false }, true],
  'no length, and no end yet': [`${OK}\r\nhello`, { body: 'hello', ended: false, keepsOpen: false }],
  chunks: [
    `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00A;name="x y"\r\n0123456789\r\n0\r\n\r\n`,
    { body: 'hello0123456789', ended: true, keepsOpen: true },
  ],
  'chunks with trailers': [
    `${OK}Transfer-Encoding: gzip, Chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n`,
    { body: 'a', ended: true, keepsOpen: true, headers: { 'transfer-encoding': 'gzip, Chunked' } },
  ],
  'a coding that is no chunks': [`${OK}transfer-encoding: gzip\r\n\r\nabc`, { body: 'abc', ended: true }, true],
  'chunks and a length': [
    `${OK}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
    { body: 'hi', ended: true, keepsOpen: false },
  ],
  'chunks of 1.0': [
    'HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n',
    { body: 'a', ended: true, keepsOpen: false },
  ],
  'chunks that break off': [`${OK}transfer-encoding: chunked\r\n\r\n5\r\nhel`, { body: 'hel', ended: false }, true],
  'a 204 with a body': ['HTTP/1.1 204 OK\r\ncontent-length: 2\r\n\r\nhi', { body: '', ended: true, keepsOpen: false }],
  'a 304 that says how long it would be': [
    'HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n',
    { body: '', ended: true, keepsOpen: false },
  ],
  'what comes before it': [
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}content-length: 1\r\n\r\na`,
    { status: 200, body: 'a', ended: true, keepsOpen: true, headers: { 'content-length': '1' } },
  ],
  'an end of the connection': [
    `${OK}Connection: foo, Close\r\ncontent-length: 0\r\n\r\n`,
    { ended: true, keepsOpen: false },
  ],
  '1.0': ['HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n', { ended: true, keepsOpen: false }],
  '1.0 that keeps': [
    'HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 0\r\n\r\n',
    { ended: true, keepsOpen: true },
  ],
  'for how long': [
    `${OK}keep-alive: max=3, timeout=7\r\ncontent-length: 0\r\n\r\n`,
    { keepsOpen: true, keepsFor: 7000 },
  ],
  'a header twice, and one over two lines': [
    `${OK}A: 1\r\na:2 \r\nB: x\r\n\t y\r\n__proto__: z\r\ncontent-length: 0\r\n\r\n`,
    { headers: { a: ['1', '2'], b: 'x y', ['__proto__']: 'z', 'content-length': '0' }, ended: true },
  ],
  'bytes beyond ASCII': [
    `${OK}x: caf\u00e9\r\ncontent-length: 1\r\n\r\n\u00e9`,
    { headers: { x: 'caf\u00e9', 'content-length': '1' } },
  ],
};

describe('an answer', () => {
  for (const [name, [text, is, closes = false]] of Object.entries(ANSWERS))
    it(`with ${name} is read as it is meant, in pieces of any size`, () => {
      const whole = read(text, { closes });
      expect(whole).toMatchObject(is);
      for (const size of [1, 2, 3, 5, 7, 11, 16, 64]) expect(read(text, { size, closes })).toEqual(whole);
    });

  const BROKEN: Readonly<Record<string, readonly [text: string, error: RegExp]>> = {
    'another protocol': ['SSH-2.0-OpenSSH_9.2\r\n', /is not HTTP\/1\.1/],
    'bytes of TLS': ['\u0015\u0003\u0001\u0000\u0002\u0002P', /is not HTTP\/1\.1/],
    'HTTP/2': ['HTTP/2 200\r\n\r\n', /is not HTTP\/1\.1/],
    'a status of two digits': ['HTTP/1.1 20 OK\r\n\r\n', /is not HTTP\/1\.1/],
    'another protocol that nobody asked for': ['HTTP/1.1 101 Switching Protocols\r\n\r\n', /changes the protocol/],
    'a header without a colon': [`${OK}nothing\r\n\r\n`, /header without a name/],
    'a space before the colon': [`${OK}content-length : 5\r\n\r\n`, /header without a name/],
    'a bare line feed': [`${OK}a: b\nc: d\r\n\r\n`, /control character/],
    'a bare carriage return': [`${OK}a: b\rc: d\r\n\r\n`, /control character/],
    'a zero byte': [`${OK}a: b\u0000\r\n\r\n`, /control character/],
    'two lengths': [`${OK}content-length: 5\r\ncontent-length: 6\r\n\r\n`, /`content-length` that is none/],
    'a length below zero': [`${OK}content-length: -1\r\n\r\n`, /`content-length` that is none/],
    'a length in words': [`${OK}content-length: 0x5\r\n\r\n`, /`content-length` that is none/],
    'a chunk in words': [`${OK}transfer-encoding: chunked\r\n\r\nhello\r\n`, /chunk without a length/],
    'a chunk below zero': [`${OK}transfer-encoding: chunked\r\n\r\n-1\r\n`, /chunk without a length/],
    'a chunk that is longer': [`${OK}transfer-encoding: chunked\r\n\r\n1\r\nabc\r\n`, /does not end where it says/],
    'a size without an end': [`${OK}transfer-encoding: chunked\r\n\r\n1;${'x'.repeat(2000)}`, /does not end/],
    'endless headers': [`${OK}${'a: b\r\n'.repeat(4000)}`, /more than 16384 bytes/],
    'one endless header': [`${OK}a: ${'b'.repeat(20_000)}\r\n\r\n`, /more than 16384 bytes/],
    'endless trailers': [`${OK}transfer-encoding: chunked\r\n\r\n0\r\n${'a: b\r\n'.repeat(4000)}`, /does not end/],
  };
  for (const [name, [text, error]] of Object.entries(BROKEN))
    it(`that is ${name} is none, in pieces of any size`, () => {
      for (const size of [text.length, 1, 7, 1000]) expect(() => read(text, { size })).toThrow(error);
    });

  it('that nobody asked for ends the connection, and is nobody’s', () => {
    const parser = new ResponseParser();
    parser.push(Buffer.from(`${OK}content-length: 0\r\n\r\n`));
    expect(parser.keepsOpen).toBe(false);
  });

  it('is told no more to a reader that gave up, at any place in it', () => {
    const text = `${OK}transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n2\r\nho\r\n0\r\n\r\n`;
    for (const where of ['started', 'data'] as const) {
      const parser = new ResponseParser();
      const told: string[] = [];
      const tell = (what: string) => () => {
        told.push(what);
        if (what === where) parser.stop();
      };
      parser.begin({ started: tell('started'), data: tell('data'), ended: tell('ended') });
      parser.push(Buffer.from(text));
      expect(told).toEqual(where === 'started' ? ['started'] : ['started', 'data']);
      expect(parser.keepsOpen).toBe(false);
    }
  });
});
