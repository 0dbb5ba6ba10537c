import { z } from 'zod';
import { jwtClaims } from '../../config/access.ts';
import { oidcShape } from '../../config/http.ts';
import type { Oidc } from '../../http/auth/oidc.ts';
import { defineVerifier } from './verifier.ts';

/** A JSON Web Token of an issuer, as Google Pub/Sub and Azure Event Grid send it. */
export const jwt = defineVerifier({
  name: 'jwt',
  summary: 'A JSON Web Token in `Authorization`, signed by an issuer, such as Google Pub/Sub sends it.',
  example:
    '{ issuer: "https://accounts.google.com", audience: orders, claims: { email: "push@project.iam.gserviceaccount.com" } }',
  options: z.strictObject({
    ...oidcShape,
    sub: z.string().min(1).optional().describe('The subject, exactly.'),
    claims: jwtClaims().optional(),
  }),
  prepare({ sub, claims, ...settings }) {
    // What checks tokens is large, and needed by few.
    let loaded:
      | Promise<{ readonly oidc: Oidc; readonly fits: (found: Readonly<Record<string, unknown>>) => boolean }>
      | undefined;
    const load = async () => {
      const [{ Oidc: Issuer }, { fits }] = await Promise.all([
        import('../../http/auth/oidc.ts'),
        import('../../http/auth/rules.ts'),
      ]);
      return {
        oidc: new Issuer(settings, '`verify: jwt`'),
        fits: (found: Readonly<Record<string, unknown>>) => fits({ sub, claims }, found),
      };
    };
    return {
      needsBody: false,
      async verify({ headers }) {
        const token = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+) *$/i.exec(headers.get('authorization') ?? '')?.[1];
        if (token === undefined) return 'it has no JSON Web Token';
        const { oidc, fits } = await (loaded ??= load());
        const found = await oidc.verify(token);
        if (found === undefined) return 'its token is not valid';
        return fits(found) ? undefined : 'its token is of somebody else';
      },
      close: () => {
        loaded?.then(({ oidc }) => oidc.close()).catch(() => undefined);
      },
    };
  },
});
