import { z } from 'zod';
import { literal } from '../../config/fields.ts';
import {
  anyMatches,
  fromBase64,
  fromHex,
  hmac as hmacOf,
  MISMATCH,
  oneOfSecrets,
  secretShape,
  keysOf,
  timeProblem,
  tolerance,
} from './signature.ts';
import { defineVerifier } from './verifier.ts';

const header = () => z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, { error: 'this is no name of a header' });

/** Anything else that signs the body with a shared secret. */
export const hmac = defineVerifier({
  name: 'hmac',
  summary: 'An HMAC of the body in a header, and of a time before it where the sender signs one.',
  example: '{ header: X-Shopify-Hmac-Sha256, encoding: base64, secret: "${file:/run/secrets/shopify}" }',
  options: z
    .strictObject({
      ...secretShape,
      header: header().describe('The header with the signature.'),
      algorithm: z.enum(['sha256', 'sha512', 'sha1']).default('sha256').describe('The hash.'),
      encoding: z.enum(['hex', 'base64']).default('hex').describe('How the signature is written.'),
      prefix: z.string().default('').describe('What stands before it in the header, such as `sha256=`.'),
      timestamp: z
        .strictObject({
          header: header().describe('The header with the time, in seconds since 1970.'),
          join: literal().default('.').describe('What stands between the time and the body where they are signed.'),
          tolerance: tolerance(),
        })
        .optional()
        .describe(
          'Where the sender signs the time, it and the body. Without it a request can be sent again at any time.',
        ),
    })
    .superRefine(oneOfSecrets),
  prepare({ algorithm, encoding, prefix, timestamp, ...rest }) {
    const name = rest.header.toLowerCase();
    const keys = keysOf(rest);
    const decode = encoding === 'hex' ? fromHex : fromBase64;
    return {
      needsBody: true,
      verify({ headers, body, now }) {
        const given = headers.get(name);
        if (given === undefined) return `it has no ${rest.header}`;
        const signature = given.startsWith(prefix) ? decode(given.slice(prefix.length)) : undefined;
        if (signature === undefined) return `its ${rest.header} is no signature`;
        let before = '';
        if (timestamp !== undefined) {
          const time = headers.get(timestamp.header.toLowerCase());
          const problem = timeProblem(time, now, timestamp.tolerance);
          if (problem !== undefined) return problem;
          before = (time ?? '') + timestamp.join;
        }
        const expected = keys.map((key) => hmacOf(algorithm, key, before, body));
        return anyMatches([signature], expected) ? undefined : MISMATCH;
      },
    };
  },
});
