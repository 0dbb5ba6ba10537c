/** Connections of our own client, to servers that speak HTTP as they like, byte by byte. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { HttpClient, type HttpClientOptions } from '../../src/deliver/http/client.ts';
import type { HttpRequest } from '../../src/deliver/http/connection.ts';
import type { OuzelError } from '../../src/errors.ts';
import { waitFor } from '../helpers/wait.ts';

interface Wire {
  readonly origin: string;
  /** What came over each connection, in the order in which they were made. */
  readonly came: readonly string[];
  readonly sockets: readonly Socket[];
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
const TOO_LARGE = 'HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n';
const POST = { method: 'POST', path: '/in', headers: {}, body: 'x' } as const;

/** @param answer Called whenever a request is whole: all of them end in `x`. */
async function startWire(answer: (socket: Socket, connection: number, index: number) => void): Promise<Wire> {
  const came: string[] = [];
  const sockets: Socket[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    const connection = sockets.push(socket) - 1;
    let index = 0;
    came.push('');
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      came[connection] += bytes.toString('latin1');
      if (bytes.at(-1) === 'x'.charCodeAt(0)) answer(socket, connection, index++);
    });
  }).listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server, 'listening');
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, came, sockets };
}

function clientOf(origin: string, options: Partial<HttpClientOptions> = {}) {
  const client = new HttpClient({
    origin,
    connections: 1,
    timeout: 30_000,
    maxResponse: 1_000_000,
    allowPrivate: true,
    ...options,
  });
  onTestFinished(() => client.close());
  const never = new AbortController().signal;
  const shown = (ask: Promise<{ status: number; body: Uint8Array }>): Promise<string> =>
    ask.then(
      ({ status, body }) => `${status} ${Buffer.from(body).toString()}`.trim(),
      (error: unknown) => {
        const { code, message } = error as OuzelError;
        return `${code} ${message.replace(/^.*?: /, '')}`;
      },
    );
  return {
    client,
    send: (request: Partial<HttpRequest> = {}, signal = never) => shown(client.send({ ...POST, ...request }, signal)),
    fetch: (request: Partial<HttpRequest> = {}, signal = never) => shown(client.fetch({ ...POST, ...request }, signal)),
  };
}

test('a request is written as HTTP/1.1 has it, whatever is in it', async () => {
  const { origin, came } = await startWire((socket) => socket.write(OK));
  const { send } = clientOf(origin);
  const long = 'ü€😀'.repeat(30_000);
  expect(await send({ headers: { 'webhook-id': 'a', title: 'Caf\u00c3\u00a9' }, body: `${long}x` })).toBe('200');
  expect(await send({ method: 'PUT', path: '/a?b=c', body: Buffer.from([0, 1, 255, 'x'.charCodeAt(0)]) })).toBe('200');
  const host = origin.slice('http://'.length);
  const bytes = Buffer.from(`${long}x`);
  expect(came).toEqual([
    `POST /in HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\nwebhook-id: a\r\ntitle: Caf\u00c3\u00a9\r\n` +
      `content-length: ${bytes.length}\r\n\r\n${bytes.toString('latin1')}` +
      `PUT /a?b=c HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\ncontent-length: 4\r\n\r\n\u0000\u0001\u00ffx`,
  ]);
});

test('what would be another header or another request is not written, and costs no connection', async () => {
  const { origin, came, sockets } = await startWire((socket) => socket.write(OK));
  const { send } = clientOf(origin);
  expect(await send()).toBe('200');
  const before = came[0];
  for (const request of [
    { headers: { a: 'b\r\nc: d' } },
    { headers: { a: 'b\u0000' } },
    { headers: { a: '€' } },
    { headers: { 'a: b\r\nc': 'd' } },
    { headers: { '': 'd' } },
    { path: '/in HTTP/1.1\r\nhost: other\r\n\r\n' },
    { path: 'http://other/' },
    { path: '/a b' },
  ])
    expect(await send(request)).toMatch(/^EVENT_FAILED cannot be written: the (?:path|header ".*") holds what cannot/);
  expect(came).toEqual([before]);
  expect(await send()).toBe('200');
  expect(sockets).toHaveLength(1);
});

test('bytes that nobody asked for are never taken for an answer', async () => {
  const { origin, sockets } = await startWire((socket, connection, index) => {
    // With the answer, and behind it.
    if (connection === 0) socket.write(`${OK}HTTP/1.1 500 Sent Before\r\ncontent-length: 0\r\n\r\n`);
    else if (connection === 1 && index === 0) socket.write(OK);
    else socket.write('HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n');
  });
  const { send } = clientOf(origin);
  // The next one waits for the connection already, and would be written at once.
  expect(await Promise.all([send(), send()])).toEqual(['200', '200']);
  expect(sockets).toHaveLength(2);
  const [, second] = sockets as [Socket, Socket];
  second.write('HTTP/1.1 500 Sent Before\r\ncontent-length: 0\r\n\r\n');
  await once(second, 'close');
  expect(await send()).toBe('201');
  expect(sockets).toHaveLength(3);
});

test('a connection that is closed while nothing goes over it costs no request', async () => {
  const { origin, sockets } = await startWire((socket) => socket.write(OK));
  const { send } = clientOf(origin);
  for (const close of ['end', 'destroy', 'resetAndDestroy'] as const) {
    expect(await send()).toBe('200');
    const socket = sockets.at(-1) as Socket;
    socket[close]();
    await once(socket, 'close');
    // What the kernel has is there for the client to read before it writes.
    await turn();
    expect(await send()).toBe('200');
  }
  expect(sockets.length).toBe(4);
});

test('a connection that nobody needs is closed before the server closes it', async () => {
  const { origin, sockets } = await startWire((socket) =>
    socket.write('HTTP/1.1 200 OK\r\nkeep-alive: timeout=3\r\ncontent-length: 0\r\n\r\n'),
  );
  const { send } = clientOf(origin);
  expect(await send()).toBe('200');
  expect(await send()).toBe('200');
  await once(sockets[0] as Socket, 'close');
  expect(await send()).toBe('200');
  expect(sockets).toHaveLength(2);
});

test('a connection is used again only where the answer allows it', async () => {
  const answers = [
    'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
    'HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n',
    'HTTP/1.1 204 No Content\r\ncontent-length: 1\r\n\r\n',
    // Two seconds are within what a request may need to get there.
    'HTTP/1.1 200 OK\r\nkeep-alive: timeout=2\r\ncontent-length: 0\r\n\r\n',
  ];
  const { origin, sockets } = await startWire((socket, connection) => socket.write(answers[connection] ?? OK));
  const { send } = clientOf(origin);
  for (const count of [1, 2, 3, 4, 5, 5]) {
    expect(await send()).toMatch(/^20[04]$/);
    expect(sockets.length).toBe(count);
  }
});

test('each way in which a server fails says what it was, and the next request has another connection', async () => {
  const faults: Readonly<Record<string, (socket: Socket) => void>> = {
    'the connection was closed before the answer': (socket) => void socket.end(),
    'read ECONNRESET': (socket) => void socket.resetAndDestroy(),
    'the answer is not HTTP/1.1': (socket) => void socket.write('220 mail.example ESMTP\r\n'),
    'the answer changes the protocol (101)': (socket) => void socket.write('HTTP/1.1 101 Now\r\n\r\n'),
    'the headers of the answer have more than 16384 bytes': (socket) =>
      void socket.write(`HTTP/1.1 200 OK\r\na: ${'b'.repeat(20_000)}`),
  };
  let fault: ((socket: Socket) => void) | undefined;
  const { origin, sockets } = await startWire(
    (socket) => void (fault === undefined ? socket.write(OK) : fault(socket)),
  );
  const { send } = clientOf(origin);
  for (const [message, how] of Object.entries(faults)) {
    fault = how;
    const { length } = sockets;
    // Both fail in the same way, and the one that waits does so on a connection of its own.
    expect(await Promise.all([send(), send()])).toEqual([
      expect.stringContaining(`TARGET_UNAVAILABLE ${message}`),
      expect.stringContaining(`TARGET_UNAVAILABLE ${message}`),
    ]);
    expect(sockets.length).toBe(length + 2);
  }
  fault = undefined;
  expect(await send()).toBe('200');
});

test('a status is known though its body breaks off; what is wanted whole is worth nothing in part', async () => {
  const { origin } = await startWire((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf', () => socket.resetAndDestroy());
  });
  const { send, fetch } = clientOf(origin);
  expect(await send()).toMatch(/^200/);
  expect(await fetch()).toMatch(/^TARGET_UNAVAILABLE /);
});

test('chunks, early hints and a body to the end of the connection are read', async () => {
  const { origin } = await startWire((socket, connection, index) => {
    if (index === 0)
      socket.write(
        'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      );
    else socket.end('HTTP/1.1 200 OK\r\n\r\nto the end');
    expect(connection).toBe(0);
  });
  const { fetch } = clientOf(origin);
  expect(await fetch()).toBe('200 abc');
  expect(await fetch()).toBe('200 to the end');
});

test('an answer before the request is sent is the answer, and its connection is not used again', async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    sockets.push(socket);
    // No more than the beginning of it is read, so that it cannot all be sent.
    if (sockets.length === 1) socket.once('readable', () => socket.write(TOO_LARGE));
    else socket.once('data', () => socket.write(OK));
  }).listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server, 'listening');
  const { send } = clientOf(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  expect(await send({ body: Buffer.alloc(64 * 2 ** 20) })).toBe('413');
  expect(await send()).toBe('200');
  expect(sockets).toHaveLength(2);
});

test('who gives up before anything was written leaves the connection as it is; behind that it is closed', async () => {
  const asked = Promise.withResolvers<void>();
  const { origin, sockets } = await startWire((socket, _connection, index) => {
    if (index === 0) socket.write(OK);
    else asked.resolve();
  });
  const { send } = clientOf(origin);
  expect(await send()).toBe('200');
  const early = new AbortController();
  const given = send({}, early.signal);
  early.abort(new Error('no longer'));
  expect(await given).toContain('no longer');
  const late = new AbortController();
  const hanging = send({}, late.signal);
  await asked.promise;
  expect(sockets).toHaveLength(1);
  late.abort(new Error('no longer'));
  expect(await hanging).toContain('no longer');
  await waitFor(() => sockets[0]?.closed === true, { what: 'its connection to be closed' });
  expect(await send()).toBe('200');
  expect(sockets).toHaveLength(2);
});
