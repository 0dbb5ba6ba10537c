import { z } from 'zod';
import {
  anyMatches,
  fieldOf,
  fromHex,
  hmac,
  MISMATCH,
  oneOfSecrets,
  secretShape,
  keysOf,
  timeProblem,
  tolerance,
} from './signature.ts';
import { defineVerifier } from './verifier.ts';

const PREFIX = 'v0=';

/** Slack: `X-Slack-Signature` over `v0:TIME:BODY`. */
export const slack = defineVerifier({
  name: 'slack',
  summary:
    'Slack: `X-Slack-Signature` and `X-Slack-Request-Timestamp`. The id is the `event_id`; `url_verification` is answered with its challenge.',
  example: '{ secret: "${file:/run/secrets/slack}" }',
  options: z.strictObject({ ...secretShape, tolerance: tolerance() }).superRefine(oneOfSecrets),
  prepare(options) {
    const keys = keysOf(options);
    return {
      needsBody: true,
      verify({ headers, body, now }) {
        const given = headers.get('x-slack-signature');
        if (given === undefined) return 'it has no X-Slack-Signature';
        const time = headers.get('x-slack-request-timestamp');
        const problem = timeProblem(time, now, options.tolerance);
        if (problem !== undefined) return problem;
        const signature = given.startsWith(PREFIX) ? fromHex(given.slice(PREFIX.length)) : undefined;
        if (signature === undefined) return 'its X-Slack-Signature is none';
        const expected = keys.map((key) => hmac('sha256', key, `v0:${time ?? ''}:`, body));
        return anyMatches([signature], expected) ? undefined : MISMATCH;
      },
      idOf: ({ body }) => fieldOf(body, 'event_id'),
      handshake({ body }) {
        const challenge = fieldOf(body, 'challenge');
        return fieldOf(body, 'type') === 'url_verification' && typeof challenge === 'string'
          ? { challenge }
          : undefined;
      },
    };
  },
});
