import { expect, it } from 'vitest';
import { localProblem } from '../../../src/http/guard.ts';

type Request = Parameters<typeof localProblem>[0];

const request = (remoteAddress: string, headers: Record<string, string>): Request =>
  ({ socket: { remoteAddress }, headers }) as Request;

it.each([
  ['127.0.0.1', { host: '127.0.0.1:9464' }],
  ['127.0.0.1', { host: 'localhost:9464', origin: 'http://localhost:9464' }],
  ['::1', { host: '[::1]:9464' }],
  ['::ffff:127.0.0.1', { host: 'localhost' }],
])('lets the machine itself ask: %s %j', (address, headers) => {
  expect(localProblem(request(address, headers))).toBeUndefined();
});

it.each([
  ['10.0.0.7', { host: '127.0.0.1:9464' }, /loopback/],
  ['::ffff:10.0.0.7', { host: 'localhost' }, /loopback/],
  ['127.0.0.1', { host: 'evil.example:9464' }, /Host/],
  ['127.0.0.1', { host: '127.0.0.1.evil.example' }, /Host/],
  ['127.0.0.1', {}, /Host/],
  ['127.0.0.1', { host: 'localhost:9464', origin: 'https://evil.example' }, /Origin/],
  ['127.0.0.1', { host: 'localhost:9464', origin: 'http://localhost:8080' }, /Origin/],
  ['127.0.0.1', { host: 'localhost:9464', 'x-forwarded-for': '10.0.0.7' }, /proxy/],
])('refuses %s %j', (address, headers, reason) => {
  expect(localProblem(request(address, headers as Record<string, string>))).toMatch(reason);
});
