import { z } from 'zod';
import { address, duration, filePath, literal } from './fields.ts';

/** What a token may be signed with: pinned, and with a public key, so that nobody who can check one can make one. */
const algorithm = z.enum([
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]);

const url = z.string().refine((value) => /^https?:$/.test(URL.parse(value)?.protocol ?? ''), {
  error: 'must be an https:// or http:// URL',
});

const tls = z.strictObject({
  cert: filePath().describe('File with the certificate, and those between it and its authority.'),
  key: filePath().describe('File with the private key.'),
  client_ca: filePath()
    .optional()
    .describe('File with the authorities whose client certificates are asked for (`access`: `cert`).'),
});

/** Whose tokens are taken. */
export const oidcShape = {
  issuer: url.describe('The issuer, exactly as its tokens name it in `iss`.'),
  audience: z
    .union([literal(), z.array(literal()).min(1)])
    .describe('What stands in `aud` of tokens that are meant for Ouzel: it, or one of these.'),
  algorithms: z.array(algorithm).min(1).default(['RS256', 'ES256']).describe('Algorithms that are accepted.'),
  jwks: url
    .optional()
    .describe("Where the issuer's keys are. Default: as its `/.well-known/openid-configuration` says."),
  cache: duration({ min: 1000 }).default(600_000).describe('How long keys are kept before they are fetched again.'),
  cooldown: duration({ min: 1 })
    .default(30_000)
    .describe('The least time between two fetches, however many tokens name a key that is not known.'),
  timeout: duration({ max: 60_000 }).default(5_000).describe('How long fetching the keys may take.'),
  allow_private: z.boolean().default(false).describe('Whether the issuer may have a private or loopback address.'),
};

const oidc = z.strictObject(oidcShape);

export type OidcSettings = z.output<typeof oidc>;

export const http = z
  .strictObject({
    listen: address()
      .prefault('127.0.0.1:9464')
      .describe('Where metrics, health and the API are served, as host:port. Port 0 lets the system choose.'),
    ingress: address()
      .optional()
      .describe(
        'Where webhooks of `sources` and `POST /events` come in, apart from the rest. Without it: 127.0.0.1:8080 as soon as there is a source with `webhook`.',
      ),
    ingress_tls: tls
      .optional()
      .describe('TLS for `ingress`. Client certificates count for `POST /events`, as `access` says.'),
    tls: tls.optional().describe('TLS for this listener. Without it, what is sent can be read on the way.'),
    oidc: oidc.optional().describe('Whose JSON Web Tokens `access` speaks of (OpenID Connect, OAuth 2.0).'),
    drain: duration()
      .default(35_000)
      .describe('How long a shutdown may take. It must be longer than the longest `timeout`.'),
  })
  .prefault({})
  .describe('The admin listener, the one for what comes in, and the shutdown.');
