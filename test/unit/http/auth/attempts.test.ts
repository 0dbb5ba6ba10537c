import { expect, it } from 'vitest';
import { Attempts } from '../../../../src/http/auth/attempts.ts';

const limits = { burst: 3, every: 1000, addresses: 2 };

it('lets so many through at once, and then one in a while', () => {
  const attempts = new Attempts(limits);
  expect([1, 2, 3].map(() => attempts.take('10.0.0.1', 0))).toEqual([0, 0, 0]);
  expect(attempts.take('10.0.0.1', 0)).toBe(1000);
  expect(attempts.take('10.0.0.1', 400)).toBe(600);
  expect(attempts.take('10.0.0.1', 1000)).toBe(0);
  expect(attempts.take('10.0.0.1', 1000)).toBe(1000);
  expect([1, 2, 3, 4].map(() => attempts.take('10.0.0.1', 60_000))).toEqual([0, 0, 0, 1000]);
});

it('counts each address for itself, and an IPv6 network as one', () => {
  const attempts = new Attempts({ ...limits, burst: 1 });
  expect(attempts.take('2001:db8:1:2::1', 0)).toBe(0);
  expect(attempts.take('2001:db8:1:2:ffff::7', 0)).toBe(1000);
  expect(attempts.take('2001:db8:1:3::1', 0)).toBe(0);
  expect(attempts.take('::ffff:10.0.0.1', 0)).toBe(0);
  expect(attempts.take('::ffff:10.0.0.2', 0)).toBe(0);
  expect(attempts.take('fe80::1%eth0', 0)).toBe(0);
  expect(attempts.take('fe80::2%eth1', 0)).toBe(1000);
});

it('remembers no more addresses than it may, those that came last', () => {
  const attempts = new Attempts({ ...limits, burst: 1 });
  attempts.take('a', 0);
  attempts.take('b', 0);
  attempts.take('a', 0);
  attempts.take('c', 0);
  expect(attempts.size).toBe(2);
  expect(attempts.take('a', 0)).toBe(1000);
  expect(attempts.take('b', 0)).toBe(0);
});
