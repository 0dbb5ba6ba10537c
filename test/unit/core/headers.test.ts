import { describe, expect, it } from 'vitest';
import {
  headerBlock,
  headerDescription,
  headerEntries,
  headerLine,
  headerStatus,
  headerValue,
} from '../../../src/core/headers.ts';
import { bytes } from './helpers.ts';

describe('headerValue', () => {
  it.each<[name: string, block: string, wanted: string, value: string | undefined]>([
    ['the value', 'NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n', 'B', '2'],
    ['the exact name before another case', 'NATS/1.0\r\na: lower\r\nA: upper\r\n\r\n', 'A', 'upper'],
    ['another case where there is no exact name', 'NATS/1.0\r\nX-FOO: 1\r\n\r\n', 'x-foo', '1'],
    ['the first of several', 'NATS/1.0\r\nA: 1\r\nA: 2\r\n\r\n', 'A', '1'],
    ['nothing for a prefix of a name', 'NATS/1.0\r\nAbc: 1\r\n\r\n', 'Ab', undefined],
    ['nothing for a longer name', 'NATS/1.0\r\nAb: 1\r\n\r\n', 'Abc', undefined],
    ['a value with colons', 'NATS/1.0\r\nU: http://a:1/b\r\n\r\n', 'U', 'http://a:1/b'],
    ['a value without a space before it', 'NATS/1.0\r\nA:1\r\n\r\n', 'A', '1'],
    ['a value without the spaces around it', 'NATS/1.0\r\nA:   1 2  \r\n\r\n', 'A', '1 2'],
    ['an empty value', 'NATS/1.0\r\nA:\r\nB: 1\r\n\r\n', 'A', ''],
    ['a value of spaces as an empty one', 'NATS/1.0\r\nA:   \r\n\r\n', 'A', ''],
    ['a value that is not ASCII', 'NATS/1.0\r\nA: Grüße 🐦\r\n\r\n', 'A', 'Grüße 🐦'],
    ['lines that end with LF alone', 'NATS/1.0\nA: 1\nB: 2\n\n', 'B', '2'],
    ['a last line that does not end', 'NATS/1.0\r\nA: 1', 'A', '1'],
    ['nothing behind the empty line', 'NATS/1.0\r\nA: 1\r\n\r\nB: 2\r\n', 'B', undefined],
    ['what follows a line without a colon', 'NATS/1.0\r\nnonsense\r\nA: 1\r\n\r\n', 'A', '1'],
    ['nothing for a line without a name', 'NATS/1.0\r\n: 1\r\n\r\n', '', undefined],
    ['nothing of the status line', 'NATS/1.0 404 a: b\r\n\r\n', 'a', undefined],
    ['nothing in a block without a line end', 'NATS/1.0', 'A', undefined],
    ['nothing in an empty block', '', 'A', undefined],
  ])('finds %s', (_name, text, wanted, value) => expect(headerValue(bytes(text), wanted)).toBe(value));

  it('reads bytes that are no Buffer', () =>
    expect(headerValue(new Uint8Array(bytes('NATS/1.0\r\nA: ü\r\n\r\n')), 'a')).toBe('ü'));

  it('looks at each byte of hundreds of thousands of lines without a colon a bounded number of times', () => {
    // Quadratic, this takes many seconds, and the test's own time-out ends it.
    const block = bytes(`NATS/1.0\r\n${'a\r\n'.repeat(340_000)}B: 1\r\n\r\n`);
    expect(headerValue(block, 'B')).toBe('1');
    expect(headerEntries(block)).toEqual([['B', '1']]);
  });
});

describe('headerEntries', () => {
  it('gives every line in order', () =>
    expect(headerEntries(bytes('NATS/1.0\r\nb: 1\r\nA:2\r\nb: 3\r\n\r\n'))).toEqual([
      ['b', '1'],
      ['A', '2'],
      ['b', '3'],
    ]));

  // A name that passes a comparison and then becomes another one on the wire would be a way around `Nats-*` filters.
  it.each([' Nats-Rollup', 'Nats-Rollup ', '\rNats-Rollup', '\tNats-Rollup', 'Nats\u0000-Rollup', 'Foo\rNats-Rollup'])(
    'gives no control characters and outer spaces in the name %j',
    (name) => {
      const got = headerEntries(bytes(`NATS/1.0\r\n${name}: sub\r\n\r\n`))[0]?.[0];
      expect(got).toMatch(/^(?:Foo)?Nats-Rollup$/);
    },
  );

  it('leaves out what is no name at all', () =>
    expect(headerEntries(bytes('NATS/1.0\r\n \t : 1\r\n\u0001: 2\r\n\r\n'))).toEqual([]));

  it('takes a lone line feed as the end of a line, as nothing else may', () =>
    expect(headerEntries(bytes('NATS/1.0\r\nFoo: 1\nNats-Rollup: sub\r\n\r\n'))).toEqual([
      ['Foo', '1'],
      ['Nats-Rollup', 'sub'],
    ]));
});

describe('the status line', () => {
  it.each<[line: string, status: number, text: string]>([
    ['NATS/1.0', 0, ''],
    ['NATS/1.0 503', 503, ''],
    ['NATS/1.0 100 Idle Heartbeat', 100, 'Idle Heartbeat'],
    ['NATS/1.0 404 No Messages', 404, 'No Messages'],
    ['NATS/1.0   409   Message Size Exceeds MaxBytes  ', 409, 'Message Size Exceeds MaxBytes'],
    ['NATS/1.0 text', 0, 'text'],
  ])('%s', (line, status, text) => {
    const block = bytes(`${line}\r\nNats-Pending-Messages: 3\r\n\r\n`);
    expect(headerStatus(block)).toBe(status);
    expect(headerDescription(block)).toBe(text);
    expect(headerValue(block, 'nats-pending-messages')).toBe('3');
  });
});

describe('headerLine', () => {
  const hostile = [
    'a\r\nNats-Rollup: all',
    'a\nB: c',
    'a\rB: c',
    '\r\n\r\nbody',
    'a\u0000b',
    'a\u001b[31m',
    'a\u007fb',
    '\u0085\u2028\u2029',
  ];

  it.each(hostile)('writes one line whatever the value is: %j', (value) => {
    const block = bytes(headerBlock(headerLine('X', value) + headerLine('Y', '1')));
    expect(headerEntries(block).map(([name]) => name)).toEqual(['X', 'Y']);
    // oxlint-disable-next-line no-control-regex -- what must not be there
    expect(headerLine('X', value).slice(0, -2)).not.toMatch(/[\u0000-\u001f\u007f]/);
    expect(headerLine('X', value).endsWith('\r\n')).toBe(true);
  });

  it('keeps what is harmless', () =>
    expect(headerValue(bytes(headerBlock(headerLine('X', 'Grüße: 🐦 100%'))), 'X')).toBe('Grüße: 🐦 100%'));

  it('can write again whatever was read', () => {
    const came = bytes('NATS/1.0\r\nFoo\rNats-Rollup: a\rb\r\nÄ: ü\r\n\r\n');
    const lines = headerEntries(came).map(([name, value]) => headerLine(name, value));
    expect(lines.join('')).toBe('FooNats-Rollup: a b\r\nÄ: ü\r\n');
  });
});
