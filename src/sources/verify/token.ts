import { z } from 'zod';
import { anyMatches, digestOf, oneOfSecrets, secretShape, secretsOf } from './signature.ts';
import { defineVerifier } from './verifier.ts';

/** A token in a header. It says who sends, and nothing of what is sent: use TLS. */
export const token = defineVerifier({
  name: 'token',
  summary: 'A token in a header, such as GitLab and Telegram send it.',
  example: '{ header: X-Gitlab-Token, secret: "${file:/run/secrets/gitlab}" }',
  options: z
    .strictObject({
      ...secretShape,
      header: z
        .string()
        .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, { error: 'this is no name of a header' })
        .default('Authorization')
        .describe('The header with the token; in `Authorization` it stands behind `Bearer`.'),
    })
    .superRefine(oneOfSecrets),
  prepare({ header, ...rest }) {
    const name = header.toLowerCase();
    const expected = secretsOf(rest).map(digestOf);
    return {
      needsBody: false,
      verify({ headers }) {
        const given = headers.get(name);
        if (given === undefined) return `it has no ${header}`;
        const value = name === 'authorization' ? /^Bearer +(\S+) *$/i.exec(given)?.[1] : given;
        return value !== undefined && anyMatches([digestOf(value)], expected) ? undefined : 'its token is another';
      },
    };
  },
});
