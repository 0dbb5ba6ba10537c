/** Signatures of webhooks: Standard Webhooks, GitHub's, and a plain HMAC of the body. */
import { createPrivateKey, type KeyObject, sign as signWith } from 'node:crypto';
import { z } from 'zod';
import type { IssueDetails } from '../../config/fields.ts';
import { configurableHeader } from './headers.ts';
import { HmacKey } from './hmac.ts';

/** Bytes of a symmetric secret, as Standard Webhooks says. */
const SHORTEST = 24;
const LONGEST = 64;

/** Padded or not. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

/** What stands before an Ed25519 seed in PKCS #8 (RFC 8410). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const SEED = 32;

/** A key of Standard Webhooks, ready to sign with. */
type StandardKey =
  /** HMAC with SHA-256. */
  | { readonly scheme: 'v1'; readonly key: HmacKey }
  /** Ed25519. */
  | { readonly scheme: 'v1a'; readonly key: KeyObject };

/** The key that a secret stands for; in words what is wrong with another. Shows nothing of it. */
function standardKey(secret: string): StandardKey | string {
  const [, prefix, text = ''] = /^(whsec|whsk)_(.*)$/s.exec(secret) ?? [];
  if (prefix === undefined)
    return secret.startsWith('whpk_')
      ? 'is a public key: whoever receives has that one, and what signs begins with whsk_'
      : 'begins neither with whsec_ (a shared secret) nor with whsk_ (an Ed25519 private key)';
  if (!BASE64.test(text)) return `is not base64 behind ${prefix}_`;
  const bytes = Buffer.from(text, 'base64');
  if (prefix === 'whsec')
    return bytes.length < SHORTEST || bytes.length > LONGEST
      ? `has ${bytes.length} bytes; from ${SHORTEST} to ${LONGEST} are allowed`
      : { scheme: 'v1', key: new HmacKey('sha256', bytes) };
  // The seed alone, or with the public key behind it.
  if (bytes.length !== SEED && bytes.length !== 2 * SEED)
    return `has ${bytes.length} bytes; an Ed25519 private key has ${SEED}, or ${2 * SEED} with its public key`;
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, bytes.subarray(0, SEED)]), format: 'der', type: 'pkcs8' });
  return { scheme: 'v1a', key };
}

const standardSecret = z.string().superRefine((secret, context) => {
  const key = standardKey(secret);
  const params: IssueDetails = {
    code: 'CONFIG_INVALID_VALUE',
    hint: 'one is made with: echo "whsec_$(openssl rand -base64 32)"',
  };
  if (typeof key === 'string')
    context.addIssue({ code: 'custom', message: `the secret ${key}`, params: { ...params } });
});

const secret = () => z.string().min(1).describe('The shared secret. Put it in as `${file:…}` or `${VAR}`.');

const standard = z
  .strictObject({
    secrets: z
      .array(standardSecret)
      .min(1)
      .max(8)
      .describe(
        'Secrets, each as `${file:…}` or `${VAR}`: `whsec_…` (shared; HMAC-SHA256, `v1`) or `whsk_…` (an Ed25519 private key, `v1a`). There is one signature for each, so that a secret can be changed with no break: list both until the receiver knows the new one.',
      ),
  })
  .describe('Standard Webhooks: `webhook-signature` over `webhook-id`, `webhook-timestamp` and the body.');

const github = z
  .strictObject({ secret: secret() })
  .describe("As GitHub signs: `x-hub-signature-256: sha256=…`, the body's HMAC.");

const hmac = z
  .strictObject({
    secret: secret(),
    header: configurableHeader().describe('The header that the signature goes into.'),
    algorithm: z.enum(['sha256', 'sha512']).default('sha256').describe('The hash.'),
    encoding: z.enum(['hex', 'base64']).default('hex').describe('How it is written.'),
    prefix: z.string().max(64).default('').describe('What stands before it, for example `sha256=`.'),
  })
  .describe('A plain HMAC of the body.');

/** How requests are signed. */
export const signOptions = () =>
  z
    .strictObject({ standard: standard.optional(), github: github.optional(), hmac: hmac.optional() })
    .refine((given) => Object.keys(given).length > 0, { error: 'write at least one of: standard, github, hmac' })
    .describe('Signatures by which the receiver knows that a request is genuine.');

export type SignOptions = z.output<ReturnType<typeof signOptions>>;

/** What is signed. */
export interface Signable {
  /** `webhook-id`: without a full stop, which separates what is signed. */
  readonly id: string;
  /** `webhook-timestamp`: seconds since the epoch, of this attempt. */
  readonly timestamp: string;
  readonly body: string | Uint8Array;
}

/** Makes the headers of the signatures of one request. */
export type Signer = (signable: Signable) => Readonly<Record<string, string>>;

function standardSignature(keys: readonly StandardKey[], { id, timestamp, body }: Signable): string {
  const head = `${id}.${timestamp}.`;
  return keys
    .map(({ scheme, key }) => {
      if (scheme === 'v1') return `v1,${key.sign('base64', head, body)}`;
      const content = Buffer.concat([Buffer.from(head), typeof body === 'string' ? Buffer.from(body) : body]);
      return `v1a,${signWith(null, content, key).toString('base64')}`;
    })
    .join(' ');
}

/** Makes ready what signs, with the keys read once. @param given As validated. */
export function createSigner({ standard: std, github: hub, hmac: plain }: SignOptions): Signer {
  const keys = (std?.secrets ?? []).map((each) => {
    const key = standardKey(each);
    if (typeof key === 'string') throw new TypeError(key);
    return key;
  });
  const hubKey = hub && new HmacKey('sha256', Buffer.from(hub.secret));
  const plainKey = plain && new HmacKey(plain.algorithm, Buffer.from(plain.secret));
  return (signable) => {
    const headers: Record<string, string> = {};
    if (keys.length > 0) headers['webhook-signature'] = standardSignature(keys, signable);
    if (hubKey !== undefined) headers['x-hub-signature-256'] = `sha256=${hubKey.sign('hex', signable.body)}`;
    if (plainKey !== undefined) {
      const { encoding, prefix, header } = plain as NonNullable<typeof plain>;
      headers[header.toLowerCase()] = prefix + plainKey.sign(encoding, signable.body);
    }
    return headers;
  };
}
