import { z } from 'zod';
import { anyMatches, fromHex, hmac, MISMATCH, oneOfSecrets, secretShape, keysOf } from './signature.ts';
import { defineVerifier } from './verifier.ts';

const PREFIX = 'sha256=';

/** GitHub: `X-Hub-Signature-256`. It signs the body and no time; `X-GitHub-Delivery` is the same when one is sent again. */
export const github = defineVerifier({
  name: 'github',
  summary: 'GitHub: `X-Hub-Signature-256`. The id is `X-GitHub-Delivery`.',
  example: '{ secret: "${file:/run/secrets/github}" }',
  options: z.strictObject(secretShape).superRefine(oneOfSecrets),
  prepare(options) {
    const keys = keysOf(options);
    return {
      needsBody: true,
      verify({ headers, body }) {
        const given = headers.get('x-hub-signature-256');
        if (given === undefined) return 'it has no X-Hub-Signature-256';
        const signature = given.startsWith(PREFIX) ? fromHex(given.slice(PREFIX.length)) : undefined;
        if (signature === undefined) return 'its X-Hub-Signature-256 is none';
        const expected = keys.map((key) => hmac('sha256', key, body));
        return anyMatches([signature], expected) ? undefined : MISMATCH;
      },
      idOf: ({ headers }) => headers.get('x-github-delivery'),
    };
  },
});
