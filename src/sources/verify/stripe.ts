import { z } from 'zod';
import {
  anyMatches,
  fieldOf,
  fromHex,
  hmac,
  MISMATCH,
  MOST_SIGNATURES,
  oneOfSecrets,
  secretShape,
  keysOf,
  timeProblem,
  tolerance,
} from './signature.ts';
import { defineVerifier } from './verifier.ts';

/** Stripe: `Stripe-Signature: t=SECONDS,v1=HEX,v1=HEX`. Other schemes than v1 are passed over, as Stripe asks. */
export const stripe = defineVerifier({
  name: 'stripe',
  summary: "Stripe: `Stripe-Signature`. The id is the event's `id`.",
  example: '{ secret: "${file:/run/secrets/stripe}" }',
  options: z.strictObject({ ...secretShape, tolerance: tolerance() }).superRefine(oneOfSecrets),
  prepare(options) {
    const keys = keysOf(options);
    return {
      needsBody: true,
      verify({ headers, body, now }) {
        const header = headers.get('stripe-signature');
        if (header === undefined) return 'it has no Stripe-Signature';
        const pairs = header.split(',').map((part) => part.trim().split('=', 2) as [string, string?]);
        const times = pairs.flatMap(([key, value]) => (key === 't' ? [value ?? ''] : []));
        if (times.length > 1) return 'its Stripe-Signature has several times';
        const problem = timeProblem(times[0], now, options.tolerance);
        if (problem !== undefined) return problem;
        const signatures = pairs.flatMap(([key, value = '']) => (key === 'v1' ? [fromHex(value)] : []));
        const given = signatures.filter((each) => each !== undefined).slice(0, MOST_SIGNATURES);
        if (given.length === 0) return 'its Stripe-Signature has no v1';
        const expected = keys.map((key) => hmac('sha256', key, `${times[0] ?? ''}.`, body));
        return anyMatches(given, expected) ? undefined : MISMATCH;
      },
      idOf: ({ body }) => fieldOf(body, 'id'),
    };
  },
});
