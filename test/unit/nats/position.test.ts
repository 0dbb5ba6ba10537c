import { describe, expect, it } from 'vitest';
import { numbersAt, parsePosition } from '../../../src/nats/position.ts';
import { bytes, random } from '../core/helpers.ts';

const parse = (reply: string) => parsePosition(bytes(reply), numbersAt(bytes(reply)));

describe('the position in an ack subject', () => {
  const expected = { deliveries: 3, sequence: 12345, milliseconds: 1_767_322_000_123, nanoseconds: 456_789 };

  it.each([
    ['nine tokens', '$JS.ACK.EVENTS.billing.3.12345.678.1767322000123456789.90'],
    ['eleven tokens', '$JS.ACK.hub.ACCHASH.EVENTS.billing.3.12345.678.1767322000123456789.90'],
    ['twelve tokens', '$JS.ACK._.ACCHASH.EVENTS.billing.3.12345.678.1767322000123456789.90.r4nd0m'],
    ['names that are numbers', '$JS.ACK.1.2.3.12345.678.1767322000123456789.90'],
    ['domains that are numbers', '$JS.ACK.7.8.9.10.3.12345.678.1767322000123456789.90.5'],
  ])('of %s', (_name, reply) => expect(parse(reply)).toEqual(expected));

  it.each([
    [1, 0],
    [1, 1],
    [Number.MAX_SAFE_INTEGER, 999_999],
    [4_294_967_296, 1],
  ])('has the sequence %i and %i ns below the millisecond', (sequence, nanoseconds) =>
    expect(parse(`$JS.ACK.S.C.1.${sequence}.1.${1_700_000_000_000_000_000n + BigInt(nanoseconds)}.0`)).toEqual({
      deliveries: 1,
      sequence,
      milliseconds: 1_700_000_000_000,
      nanoseconds,
    }),
  );

  it('of a timestamp below a millisecond since the epoch', () =>
    expect(parse('$JS.ACK.S.C.1.1.1.42.0')).toMatchObject({ milliseconds: 0, nanoseconds: 42 }));

  it('keeps every digit of any timestamp', () => {
    const chance = random(1);
    for (let round = 0; round < 500; round++) {
      const time = BigInt(Math.floor(chance() * 4e12)) * 1_000_000n + BigInt(Math.floor(chance() * 1_000_000));
      const { milliseconds, nanoseconds } = parse(`$JS.ACK.S.C.1.1.1.${time}.0`);
      expect(BigInt(milliseconds) * 1_000_000n + BigInt(nanoseconds)).toBe(time);
    }
  });

  it('begins at the same byte for all messages of a durable', () => {
    const first = '$JS.ACK._.HASH.EVENTS.billing.1.1.1.1767322000123456789.0.abc';
    const later = '$JS.ACK._.HASH.EVENTS.billing.17.99999999.1234.1767322000123456789.90.xyz123';
    expect(numbersAt(bytes(first))).toBe(numbersAt(bytes(later)));
    expect(parsePosition(bytes(later), numbersAt(bytes(first)))).toMatchObject({
      deliveries: 17,
      sequence: 99_999_999,
    });
  });

  it.each(['', 'x', '$JS.ACK', '........', '...........'])('of what is none does not go astray: %j', (reply) =>
    expect(() => parse(reply)).not.toThrow(),
  );
});
