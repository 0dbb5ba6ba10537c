/** What signatures have in common: secrets, timestamps, and comparing in constant time. */
import { createHash, createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { duration, type IssueDetails, literal } from '../../config/fields.ts';
import type { Verdict } from './verifier.ts';

/** Secrets at once: the old one and the new one, and some to spare. */
const MOST_SECRETS = 5;

/** One secret, or several while one takes the place of another. */
export const secretShape = {
  secret: literal().optional().describe('The secret that is shared with the sender.'),
  secrets: z
    .array(literal())
    .min(1)
    .max(MOST_SECRETS)
    .optional()
    .describe('Several, while one takes the place of another: a request may be made with any of them.'),
};

interface GivenSecrets {
  readonly secret?: string | undefined;
  readonly secrets?: readonly string[] | undefined;
}

interface Sink {
  addIssue(issue: {
    code: 'custom';
    message: string;
    path?: (string | number)[];
    params: Record<string, unknown>;
  }): void;
}

/** Sees to it that there is one of the two. */
export function oneOfSecrets({ secret, secrets }: GivenSecrets, context: Sink): void {
  if ((secret === undefined) !== (secrets === undefined)) return;
  const params: IssueDetails = {
    code: secret === undefined ? 'CONFIG_MISSING_KEY' : 'CONFIG_INVALID_VALUE',
    hint: 'write one of: secret, secrets',
  };
  const message = secret === undefined ? 'it has no secret' : 'secret and secrets cannot stand together';
  context.addIssue({ code: 'custom', message, params: { ...params } });
}

export const secretsOf = ({ secret, secrets = [] }: GivenSecrets): readonly string[] =>
  secret === undefined ? secrets : [secret];

/** The same as keys: making one of a text for every request would take several times as long as what it is for. */
export const keysOf = (given: GivenSecrets): readonly KeyObject[] =>
  secretsOf(given).map((secret) => createSecretKey(secret, 'utf8'));

/** How far the time of a signature may be from now. */
export const tolerance = () =>
  duration({ min: 1000, max: 3_600_000 })
    .default(300_000)
    .describe('How far the time that was signed may be from now, in either direction.');

const SECONDS = /^\d{1,12}$/;

/** What is wrong with a time in seconds since 1970; digits and nothing else, so that what is signed is what is read. */
export function timeProblem(text: string | undefined, now: number, allowed: number): Verdict {
  if (text === undefined) return 'it has no timestamp';
  if (!SECONDS.test(text)) return 'its timestamp is not a number of seconds';
  const off = now - Number(text) * 1000;
  if (Math.abs(off) <= allowed) return undefined;
  return `its timestamp is ${Math.round(Math.abs(off) / 1000)} s ${off > 0 ? 'old' : 'ahead'}`;
}

/** The bytes of a hexadecimal signature; undefined where it is none. */
export const fromHex = (text: string): Buffer | undefined =>
  /^(?:[0-9a-f]{2})+$/i.test(text) ? Buffer.from(text, 'hex') : undefined;

/** The same of base64. */
export const fromBase64 = (text: string): Buffer | undefined =>
  /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : undefined;

export type Algorithm = 'sha1' | 'sha256' | 'sha512';

export function hmac(algorithm: Algorithm, key: KeyObject, ...parts: readonly (string | Buffer)[]): Buffer {
  const made = createHmac(algorithm, key);
  for (const part of parts) made.update(part);
  return made.digest();
}

const equal = (left: Buffer, right: Buffer): boolean => left.length === right.length && timingSafeEqual(left, right);

/** Whether one of the signatures is one of those expected. All are compared: how long it takes says nothing. */
export const anyMatches = (given: readonly Buffer[], expected: readonly Buffer[]): boolean =>
  given.flatMap((signature) => expected.map((each) => equal(signature, each))).includes(true);

/** A text that is compared in constant time, whatever its length. */
export const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Signatures of one request, at most: each costs a comparison with each secret. */
export const MOST_SIGNATURES = 10;

export const MISMATCH = 'its signature is not of this body and secret';

/** A field of a JSON object. */
export const fieldOf = (body: unknown, name: string): unknown =>
  typeof body === 'object' && body !== null && Object.hasOwn(body, name)
    ? (body as Readonly<Record<string, unknown>>)[name]
    : undefined;
