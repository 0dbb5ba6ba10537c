import { createPublicKey, createSecretKey, type KeyObject, verify } from 'node:crypto';
import { z } from 'zod';
import type { IssueDetails } from '../../config/fields.ts';
import {
  anyMatches,
  fromBase64,
  hmac,
  MISMATCH,
  MOST_SIGNATURES,
  oneOfSecrets,
  secretShape,
  secretsOf,
  timeProblem,
  tolerance,
} from './signature.ts';
import { defineVerifier } from './verifier.ts';

/** Bytes of a secret, as the specification has it; and of a public key of ed25519. */
const SHORTEST = 24;
const LONGEST = 64;
const PUBLIC_KEY = 32;
/** What stands before the bytes of an ed25519 key in SubjectPublicKeyInfo (RFC 8410). */
const SPKI = Buffer.from('302a300506032b6570032100', 'hex');

type Key =
  { readonly scheme: 'v1'; readonly secret: KeyObject } | { readonly scheme: 'v1a'; readonly publicKey: KeyObject };

/** A secret (`whsec_…`, where the prefix may be left out) or a public key (`whpk_…`); else what was expected. */
function keyOf(text: string): Key | string {
  const [, prefix, encoded = ''] = /^(whsec_|whpk_)?(.*)$/s.exec(text) ?? [];
  const bytes = fromBase64(encoded);
  if (prefix === 'whpk_') {
    if (bytes?.length !== PUBLIC_KEY) return `whpk_ and ${PUBLIC_KEY} bytes in base64`;
    const key = Buffer.concat([SPKI, bytes]);
    return { scheme: 'v1a', publicKey: createPublicKey({ key, format: 'der', type: 'spki' }) };
  }
  if (bytes === undefined || bytes.length < SHORTEST || bytes.length > LONGEST)
    return `whsec_ and ${SHORTEST} to ${LONGEST} bytes in base64`;
  return { scheme: 'v1', secret: createSecretKey(bytes) };
}

const options = z.strictObject({ ...secretShape, tolerance: tolerance() }).superRefine((value, context) => {
  oneOfSecrets(value, context);
  for (const [index, text] of secretsOf(value).entries()) {
    const key = keyOf(text);
    if (typeof key !== 'string') continue;
    const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint: `expected: ${key}` };
    const path = value.secret === undefined ? ['secrets', index] : ['secret'];
    context.addIssue({
      code: 'custom',
      message: 'this is no secret of Standard Webhooks',
      path,
      params: { ...params },
    });
  }
});

/** Standard Webhooks 1.0: `webhook-signature` over `ID.TIME.BODY`, `v1` with HMAC and `v1a` with ed25519. */
export const standard = defineVerifier({
  name: 'standard',
  summary:
    'Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`. Secrets are `whsec_…` (v1) or public keys `whpk_…` (v1a). The id is `webhook-id`.',
  example: '{ secrets: ["${file:/run/secrets/partner-new}", "${file:/run/secrets/partner-old}"] }',
  options,
  prepare(given) {
    const keys = secretsOf(given)
      .map(keyOf)
      .filter((key) => typeof key !== 'string');
    const allowed = given.tolerance;
    return {
      needsBody: true,
      verify({ headers, body, now }) {
        const id = headers.get('webhook-id') ?? '';
        const time = headers.get('webhook-timestamp');
        const header = headers.get('webhook-signature');
        if (id === '') return 'it has no webhook-id';
        if (header === undefined) return 'it has no webhook-signature';
        const problem = timeProblem(time, now, allowed);
        if (problem !== undefined) return problem;
        const signatures = header.split(' ').slice(0, MOST_SIGNATURES);
        const of = (scheme: string): Buffer[] =>
          signatures
            .filter((each) => each.startsWith(`${scheme},`))
            .map((each) => fromBase64(each.slice(scheme.length + 1)))
            .filter((each) => each !== undefined);
        const signed = Buffer.concat([Buffer.from(`${id}.${time ?? ''}.`), body]);
        const expected = keys.flatMap((key) => (key.scheme === 'v1' ? [hmac('sha256', key.secret, signed)] : []));
        if (anyMatches(of('v1'), expected)) return undefined;
        const found = keys.some(
          (key) => key.scheme === 'v1a' && of('v1a').some((each) => verify(null, signed, key.publicKey, each)),
        );
        return found ? undefined : MISMATCH;
      },
      idOf: ({ headers }) => headers.get('webhook-id'),
    };
  },
});
