/** From the entries of `access` to who may do what. Pure. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { AccessEntry } from '../../config/access.ts';
import { typeMatcher } from '../../contracts/match.ts';
import type { About, Scope } from './needs.ts';

/** What holding a scope includes. */
const INCLUDES: Readonly<Record<Scope, readonly Scope[]>> = {
  read: ['read'],
  publish: ['publish'],
  operate: ['read', 'operate'],
  admin: ['read', 'publish', 'operate', 'admin'],
};

/** What one entry allows. */
export interface Grant {
  readonly scopes: ReadonlySet<Scope>;
  /** Undefined: not limited. */
  readonly types: ((type: string) => boolean) | undefined;
  readonly consumers: ((consumer: string) => boolean) | undefined;
}

/** Claims of a token, checked and not yet trusted with any right. */
export type Claims = Readonly<Record<string, unknown>>;

/** The entries, ready to be asked. */
export interface AccessRules {
  /** Whether there are any. */
  readonly configured: boolean;
  /** Whether an entry speaks of JSON Web Tokens. */
  readonly jwt: boolean;
  /** Whose bearer token it is. */
  byToken(token: string): Match | undefined;
  byClaims(claims: Claims): readonly Grant[];
  /** @param names Subject alternative names of a certificate that was verified. */
  byCertificate(names: readonly string[]): Match | undefined;
}

/** Somebody whom at least one entry names. */
export interface Match {
  readonly name: string;
  readonly grants: readonly Grant[];
}

/** Names of consumers, with `*` for any characters. */
function nameMatcher(patterns: readonly string[]): (name: string) => boolean {
  const parts = patterns.map((pattern) => new RegExp(`^${pattern.split('*').join('[A-Za-z0-9_-]*')}$`));
  return (name) => parts.some((part) => part.test(name));
}

const grantOf = ({ may, types, consumers }: AccessEntry): Grant => ({
  scopes: new Set(may.flatMap((scope) => INCLUDES[scope])),
  types: types === undefined ? undefined : typeMatcher(types),
  consumers: consumers === undefined ? undefined : nameMatcher(consumers),
});

/** Whether one of the grants allows it; see `RequestActor.may`. */
export const allows = (grants: readonly Grant[], scope: Scope, { consumer, type }: About = {}): boolean =>
  grants.some(
    ({ scopes, types, consumers }) =>
      scopes.has(scope) &&
      (types === undefined || (type !== undefined && types(type))) &&
      (consumers === undefined || (consumer !== undefined && consumers(consumer))),
  );

/** Whether one of the grants could allow it to something of this consumer or type, whatever else it belongs to. */
export const couldAllow = (grants: readonly Grant[], scope: Scope, { consumer, type }: About = {}): boolean =>
  grants.some(
    ({ scopes, types, consumers }) =>
      scopes.has(scope) &&
      (types === undefined || type === undefined || types(type)) &&
      (consumers === undefined || consumer === undefined || consumers(consumer)),
  );

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Makes the entries ready. */
export function compileAccess(entries: readonly AccessEntry[]): AccessRules {
  const rules = entries.map((entry) => ({ entry, grant: grantOf(entry) }));
  const tokens = rules.flatMap(({ entry: { name, who }, grant }) =>
    who.token === undefined
      ? []
      : [{ digest: Buffer.from(who.token, 'hex'), name: name ?? `token:${who.token.slice(0, 8)}`, grant }],
  );
  const certificates = rules.flatMap(({ entry: { name, who }, grant }) =>
    who.cert === undefined ? [] : [{ san: normalized(who.cert.san), name: name ?? who.cert.san, grant }],
  );
  const jwts = rules.flatMap(({ entry: { who }, grant }) => (who.jwt === undefined ? [] : [{ who: who.jwt, grant }]));
  return {
    configured: entries.length > 0,
    jwt: jwts.length > 0,
    byToken(token) {
      const digest = sha256(token);
      // All of them are compared, each in constant time: how long it takes says nothing.
      return matchOf(tokens.filter((each) => timingSafeEqual(each.digest, digest)));
    },
    byClaims: (claims) => jwts.filter(({ who }) => fits(who, claims)).map(({ grant }) => grant),
    byCertificate(names) {
      const found = new Set(names.map(normalized));
      return matchOf(certificates.filter(({ san }) => found.has(san)));
    },
  };
}

const matchOf = (found: readonly { readonly name: string; readonly grant: Grant }[]): Match | undefined => {
  const [first] = found;
  return first === undefined ? undefined : { name: first.name, grants: found.map(({ grant }) => grant) };
};

/** Names of hosts are the same in any case. */
const normalized = (san: string): string => (san.startsWith('DNS:') ? san.toLowerCase() : san);

type Wanted = NonNullable<AccessEntry['who']['jwt']>;

/** Whether a token is of whom is meant. */
export const fits = ({ sub, claims = {} }: Wanted, found: Claims): boolean =>
  (sub === undefined || found['sub'] === sub) &&
  Object.entries(claims).every(([path, wanted]) => holds(claimAt(found, path), wanted));

/** One of the values that are wanted, or a list that holds one. Of the same kind: "1" is not 1. */
function holds(found: unknown, wanted: unknown): boolean {
  const values: readonly unknown[] = Array.isArray(wanted) ? wanted : [wanted];
  const there: readonly unknown[] = Array.isArray(found) ? found : [found];
  return values.some((value) => there.includes(value));
}

/** A claim of this very name, else what the dots lead to. Only what the token itself says. */
function claimAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  let each: unknown = claims;
  for (const key of path.split('.')) {
    if (typeof each !== 'object' || each === null || !Object.hasOwn(each, key)) return undefined;
    each = (each as Claims)[key];
  }
  return each;
}
