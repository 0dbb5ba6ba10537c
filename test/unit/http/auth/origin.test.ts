import { expect, it } from 'vitest';
import { foreignOrigin, isLoopbackHost, remoteReason } from '../../../../src/http/auth/origin.ts';

type Request = Parameters<typeof remoteReason>[0];

const request = (remoteAddress: string, headers: Record<string, string>): Request =>
  ({ socket: { remoteAddress }, headers }) as Request;

it.each([
  ['127.0.0.1', { host: '127.0.0.1:9464' }],
  ['127.0.0.1', { host: 'localhost:9464' }],
  ['::1', { host: '[::1]:9464' }],
  ['::ffff:127.0.0.1', { host: 'localhost' }],
])('is of this machine: %s %j', (address, headers) => {
  expect(remoteReason(request(address, headers))).toBeUndefined();
});

it.each([
  ['10.0.0.7', { host: '127.0.0.1:9464' }, /loopback/],
  ['::ffff:10.0.0.7', { host: 'localhost' }, /loopback/],
  ['', { host: 'localhost' }, /loopback/],
  ['127.0.0.1', { host: 'evil.example:9464' }, /Host/],
  ['127.0.0.1', { host: '127.0.0.1.evil.example' }, /Host/],
  ['127.0.0.1', {}, /Host/],
  ['127.0.0.1', { host: 'localhost:9464', 'x-forwarded-for': '10.0.0.7' }, /proxy/],
  ['127.0.0.1', { host: 'localhost:9464', forwarded: 'for=10.0.0.7' }, /proxy/],
  ['127.0.0.1', { host: 'localhost:9464', 'x-real-ip': '' }, /proxy/],
  ['127.0.0.1', { host: 'localhost:9464', via: '1.1 proxy' }, /proxy/],
])('is of elsewhere: %s %j', (address, headers, reason) => {
  expect(remoteReason(request(address, headers as Record<string, string>))).toMatch(reason);
});

it.each([
  [{ host: 'localhost:9464' }, false],
  [{ host: 'localhost:9464', origin: 'http://localhost:9464' }, false],
  [{ host: 'ops.example', origin: 'https://ops.example' }, false],
  [{ host: 'OPS.example:443', origin: 'https://ops.example' }, false],
  [{ host: 'ops.example:8443', origin: 'https://ops.example' }, true],
  [{ host: 'localhost:9464', origin: 'https://evil.example' }, true],
  [{ host: 'localhost:9464', origin: 'http://localhost:8080' }, true],
  [{ host: 'localhost:9464', origin: 'null' }, true],
  [{ host: 'localhost:9464', origin: 'http://localhost:9464, http://evil.example' }, true],
  [{ origin: 'http://localhost:9464' }, true],
])('%j asks on behalf of another site: %s', (headers, foreign) => {
  expect(foreignOrigin(request('127.0.0.1', headers as Record<string, string>)) !== undefined).toBe(foreign);
});

it.each([
  ['127.0.0.1', true],
  ['::1', true],
  ['localhost', true],
  ['0.0.0.0', false],
  ['::', false],
  ['10.1.2.3', false],
  ['ouzel.example', false],
])('a listener on %s is of this machine alone: %s', (host, expected) => expect(isLoopbackHost(host)).toBe(expected));
