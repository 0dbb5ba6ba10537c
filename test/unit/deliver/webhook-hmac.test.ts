/** Our HMAC against Node's, and against the cases of RFC 4231. */
import { createHmac, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { HmacKey } from '../../../src/deliver/http/hmac.ts';

const ALGORITHMS = ['sha256', 'sha512'] as const;

it.each([
  ['0b'.repeat(20), '4869205468657265', 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'],
  [
    '4a656665',
    '7768617420646f2079612077616e7420666f72206e6f7468696e673f',
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  ],
  [
    'aa'.repeat(131),
    Buffer.from('Test Using Larger Than Block-Size Key - Hash Key First').toString('hex'),
    '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
  ],
])('RFC 4231: key %s', (key, data, expected) => {
  expect(new HmacKey('sha256', Buffer.from(key, 'hex')).sign('hex', Buffer.from(data, 'hex'))).toBe(expected);
});

it.each(ALGORITHMS)('%s: every length of key and content, text and bytes, in one part and in two', (algorithm) => {
  for (const length of [1, 24, 63, 64, 65, 127, 128, 129, 300]) {
    const secret = randomBytes(length);
    const key = new HmacKey(algorithm, secret);
    for (const size of [0, 1, 55, 64, 200, 5_000, 16_383, 16_384, 16_385, 100_000]) {
      const bytes = randomBytes(size);
      const text = 'naïve – 日本 👍 \ud800 '.repeat(Math.ceil(size / 20)).slice(0, size);
      for (const encoding of ['hex', 'base64'] as const) {
        const reference = (...parts: (string | Uint8Array)[]): string => {
          const hmac = createHmac(algorithm, secret);
          for (const part of parts) hmac.update(part);
          return hmac.digest(encoding);
        };
        expect(key.sign(encoding, bytes)).toBe(reference(bytes));
        expect(key.sign(encoding, text)).toBe(reference(text));
        expect(key.sign(encoding, 'id.1.', bytes)).toBe(reference('id.1.', bytes));
        expect(key.sign(encoding, 'id.1.', text)).toBe(reference('id.1.', text));
      }
    }
  }
});
