/** States of resources without what is secret in them. */
import { isSecretKey } from '../config/secrets.ts';

/** What stands in place of a secret. */
const HIDDEN = '***';
/** A `${…}` says where a secret is, not which. */
const REFERENCE = /^(?:\$\{[^}]*\})+$/;
/** `user:password@` of a URL; what a query holds may be a key. */
const USERINFO = /(:\/\/)[^\s/@]+(?=@)/g;
const DEEPEST = 64;

/**
 * A copy without secrets: those that are known, and whatever stands under a name of a secret or as a password in a URL,
 * known or not. References (`${file:…}`) stay.
 *
 * @param redact Takes the known ones out of a text.
 */
export function withoutSecrets(state: unknown, redact: (text: string) => string): unknown {
  const clean = (value: unknown, secret: boolean, depth: number, under = ''): unknown => {
    if (typeof value === 'string') {
      if (secret) return REFERENCE.test(value) ? value : HIDDEN;
      return redact(value).replaceAll(USERINFO, `$1${HIDDEN}`);
    }
    if (secret && (typeof value === 'number' || typeof value === 'bigint')) return HIDDEN;
    if (typeof value !== 'object' || value === null) return value;
    if (depth > DEEPEST) return HIDDEN;
    if (Array.isArray(value)) return value.map((each) => clean(each, secret, depth + 1));
    return Object.fromEntries(
      Object.entries(value).map(([name, each]) => [
        redact(name),
        clean(each, secret || isSecretKey(name, under), depth + 1, name),
      ]),
    );
  };
  return clean(state, false, 0);
}
