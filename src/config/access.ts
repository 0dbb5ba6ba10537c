import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { IssueDetails } from './fields.ts';
import { literal } from './fields.ts';

/** Characters of a token that is no hash, at least: a shorter one can be guessed. */
const SHORTEST_TOKEN = 32;
const HASHED = /^sha256:([0-9a-f]{64})$/;

interface Sink {
  addIssue(issue: {
    code: 'custom';
    message: string;
    input?: unknown;
    path?: string[];
    params: Record<string, unknown>;
  }): void;
}

const refuse = (context: Sink, message: string, hint: string, path: string[] = []): void => {
  const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint };
  context.addIssue({ code: 'custom', message, path, params: { ...params } });
};

/** A bearer token, as its SHA-256 in hex: the token itself is kept nowhere. */
const token = z
  .string()
  .min(1)
  .transform((value, context): string => {
    const [, hash] = HASHED.exec(value) ?? [];
    if (hash !== undefined) return hash;
    if (value.startsWith('sha256:'))
      refuse(context, 'this is no SHA-256', 'sha256: and 64 hex digits in lower case; `ouzel token new` prints it');
    else if (value.length < SHORTEST_TOKEN)
      refuse(
        context,
        `the token has ${value.length} characters; it must have at least ${SHORTEST_TOKEN}`,
        '`ouzel token new` makes one',
      );
    // Header values have their ends trimmed: such a token could never be shown again.
    else if (!/^[\x21-\x7e]+$/.test(value))
      refuse(
        context,
        'the token has characters that no Authorization header can carry',
        'visible ASCII characters, without spaces',
      );
    else return createHash('sha256').update(value).digest('hex');
    return z.NEVER;
  });

const scalar = z.union([z.string().min(1), z.number(), z.boolean()]);

/** Claims of a token, with the values that they must have. */
export const jwtClaims = () =>
  z
    .record(z.string().min(1), z.union([scalar, z.array(scalar).min(1)]))
    .describe(
      'Claims that must have this value, or one of these values; a claim that is a list must hold it. A dot goes into a claim: `realm_access.roles`.',
    );

const jwt = z
  .strictObject({
    sub: literal().optional().describe('The subject, exactly.'),
    claims: jwtClaims().optional(),
  })
  .superRefine(({ sub, claims }, context) => {
    if (sub === undefined && Object.keys(claims ?? {}).length === 0)
      refuse(context, 'this would be every token of the issuer', 'say which: sub, or claims');
  });

const SAN = /^(?:DNS|URI|email|IP Address):\S/;

const cert = z.strictObject({
  san: z
    .string()
    .superRefine((value, context) => {
      if (!SAN.test(value))
        refuse(
          context,
          'this is no subject alternative name',
          'with its kind: DNS:ops.example, URI:spiffe://example/ops, email:ops@example.org, IP Address:10.0.0.1',
        );
    })
    .describe('A subject alternative name of the client certificate, with its kind.'),
});

const WAYS = ['token', 'jwt', 'cert'] as const;

const who = z
  .strictObject({
    token: token
      .optional()
      .describe(
        'A bearer token: `sha256:` and its hash, which is no secret (`ouzel token new`), or the token itself as `${file:…}` or `${VAR}`.',
      ),
    jwt: jwt.optional().describe('A JSON Web Token of the issuer in `http.oidc`.'),
    cert: cert.optional().describe('A client certificate of the authority in `http.tls.client_ca`.'),
  })
  .superRefine((value, context) => {
    const ways = WAYS.filter((way) => value[way] !== undefined);
    if (ways.length === 0) refuse(context, 'it does not say who', `write one of: ${WAYS.join(', ')}`);
    if (ways.length > 1) refuse(context, `${ways.join(' and ')} cannot stand together`, 'write an entry for each');
  });

const scope = z.enum(['read', 'publish', 'operate', 'admin']);

const PATTERN = /^[A-Za-z0-9_*-]+$/;

const consumerPattern = z.string().superRefine((value, context) => {
  if (!PATTERN.test(value))
    refuse(context, `"${value}" is no pattern of names`, 'letters, digits, - and _; `*` stands for any of them');
});

const entry = z
  .strictObject({
    name: z
      .string()
      .regex(/^[\w.@/-]{1,63}$/, { error: 'letters, digits and ._@/- are expected, 63 at most' })
      .optional()
      .describe(
        'What the audit calls them. Default: the beginning of the hash, or the name in the certificate. Who shows a JSON Web Token is called by its subject.',
      ),
    who: who.describe('Whom this is for: one of `token`, `jwt`, `cert`.'),
    may: z
      .union([scope, z.array(scope).min(1)])
      .transform((value): readonly z.output<typeof scope>[] => (typeof value === 'string' ? [value] : value))
      .describe(
        'read: sees. publish: posts events. operate: read, and pauses, resumes, re-drives, discards, tries targets. admin: everything.',
      ),
    types: z
      .array(literal())
      .min(1)
      .optional()
      .describe('Only events of these types; `*` stands for one part, `>` at the end for the rest.'),
    consumers: z
      .array(consumerPattern)
      .min(1)
      .optional()
      .describe('Only these consumers; `*` stands for any characters.'),
  })
  .superRefine(({ may, consumers }, context) => {
    if (consumers !== undefined && may.every((each) => each === 'publish'))
      refuse(context, 'what is published belongs to no consumer', 'leave consumers out; types limits it', [
        'consumers',
      ]);
  });

export const access = z
  .array(entry)
  .default([])
  .describe(
    'Who may do what over the API. Without an entry: who sits at the machine, everything; anybody else, nothing. Several entries for one add up.',
  );

export type AccessEntry = z.output<typeof entry>;
