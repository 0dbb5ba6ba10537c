/** The configuration as it may be shown: `***` in place of every secret, whether it stands there or was filled in. */
import { isSecretKey } from './secrets.ts';
import { type SourceNode, SourceFile, type Span } from './source.ts';
import { readYaml } from './yaml.ts';

const HIDDEN = '***';

/** Marks of `secrets.ts`. */
const MARK = /<secret [0-9a-f]+>/g;
/** `user:password@` and `token@` of a URL, and what its query says of keys. */
const USERINFO = /(:\/\/(?:[^\s/:@"']+:)?)([^\s/@:"'$*][^\s/@"']*)(?=@)/g;
const QUERY = /([?&][^=&#\s"']*(?:token|key|secret|sig|signature|password|passwd)=)(?!\$\{)([^&#\s"']+)/gi;
/** What says where a secret is, and not what it is. */
const REFERENCE = /^(?:\$\{[^}]*\})+$/;

const hideParts = (text: string): string =>
  text.replace(MARK, HIDDEN).replace(USERINFO, `$1${HIDDEN}`).replace(QUERY, `$1${HIDDEN}`);

/**
 * A value of the configuration, as it may be shown.
 *
 * @param redact Takes the secrets that are known out of a text.
 */
export function redactedValue(value: unknown, redact: (text: string) => string, secret = false, under = ''): unknown {
  if (Array.isArray(value)) return value.map((each) => redactedValue(each, redact, secret));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [
        key,
        redactedValue(each, redact, secret || isSecretKey(key, under), key),
      ]),
    );
  if (secret && value !== null && typeof value !== 'boolean')
    return typeof value === 'string' && REFERENCE.test(value) ? value : HIDDEN;
  return typeof value === 'string' ? redact(hideParts(value)) : value;
}

/** The text of an entry as it was given, with its secrets taken out and all else as it is. */
export function redactedText(text: string, redact: (text: string) => string): string {
  const { root } = readYaml(new SourceFile('', text));
  const spans = secretSpans(root);
  let shown = '';
  let at = 0;
  for (const { start, end } of spans.toSorted((a, b) => a.start - b.start)) {
    if (start < at) continue;
    shown += `${text.slice(at, start)}"${HIDDEN}"`;
    at = end;
  }
  return redact(hideParts(shown + text.slice(at)));
}

function secretSpans({ token, children }: SourceNode, secret = false, under = ''): Span[] {
  if (token !== undefined) return secret && !REFERENCE.test(token.value) ? [token] : [];
  return [...children].flatMap(([key, child]) => secretSpans(child, secret || isSecretKey(key, under), key));
}

/** A whole value, a password of a URL, or what its query says of a key. */
const STARS = /^\*{3}$|:\/\/[^\s/@]*\*{3}@|[?&][^=&#\s]*=\*{3}(?=$|[&#])/;

/** Whether a text has the stars of something that was shown in place of a secret. */
export function holdsStars(text: string): boolean {
  const stars = ({ token, children }: SourceNode): boolean =>
    token === undefined ? [...children.values()].some(stars) : STARS.test(token.value);
  return stars(readYaml(new SourceFile('', text)).root);
}
