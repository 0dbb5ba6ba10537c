/** What must not be shown: kept to be taken out of every text, and represented by marks. */
import { createHmac, randomBytes } from 'node:crypto';
import type { ConfigPath } from './source.ts';

const SECRET_WORDS =
  /(?:^|_)(?:SECRETS?|TOKENS?|PASSWORDS?|PASSWD|PASSPHRASE|PASS|PWD|KEYS?|APIKEY|NKEYS?|SEED|CREDS?|CREDENTIALS?|AUTH)(?:_|$)/i;
const NOT_SECRET = /_(?:FILE|PATH|DIR|NAME|ID)$/i;

/** Whether the name of an environment variable sounds as if its value were secret. */
export const isSecretName = (name: string): boolean => SECRET_WORDS.test(name) && !NOT_SECRET.test(name);

/** Fields that are secret whatever stands in them. */
export const isSecretField = ([section, field]: ConfigPath): boolean =>
  section === 'nats' && (field === 'token' || field === 'password' || field === 'nkey');

/** Fields whose value is the path of a file. */
export const isPathField = ([section, field, key]: ConfigPath): boolean =>
  section === 'nats' && (field === 'creds' || (field === 'tls' && key !== undefined));

/** Fields in which `user:password@` may stand. */
export const isUrlField = ([section, field]: ConfigPath): boolean => section === 'nats' && field === 'servers';

/** `user:password@` or `token@` of a URL. */
const USERINFO = /((?:^|,\s*|:\/\/))([^\s/@,]+)(?=@)/g;

/** Shorter ones would take half of every text away with them. */
const SHORTEST = 4;

/** One for all processes would make the marks of short secrets guessable. */
const salt = randomBytes(32);

export class Secrets {
  readonly #values = new Set<string>();

  /** Keeps a secret, and says what stands in its place: the same for the same secret while this process lives. */
  add(secret: string): string {
    for (const text of [secret, ...secret.split(/\r?\n/)]) {
      if (text.trim().length < SHORTEST) continue;
      this.#values.add(text);
      // As it looks in JSON and in a URL.
      this.#values.add(JSON.stringify(text).slice(1, -1));
      this.#values.add(encodeURIComponent(text.toWellFormed()));
    }
    return `<secret ${createHmac('sha256', salt).update(secret).digest('hex').slice(0, 16)}>`;
  }

  /** Keeps the passwords of a URL (or several) and answers it with marks in their place. */
  addUrl(url: string): string {
    return url.replace(USERINFO, (_whole, before: string, userinfo: string) => {
      const colon = userinfo.indexOf(':');
      if (userinfo.startsWith('<secret ')) return before + userinfo;
      if (colon < 0) return before + this.add(userinfo);
      const password = userinfo.slice(colon + 1);
      const mark = /^<secret [0-9a-f]+>$/.test(password) ? password : this.add(password);
      return `${before}${userinfo.slice(0, colon + 1)}${mark}`;
    });
  }

  /** The text with every secret taken out. */
  redact(text: string): string {
    let clean = text;
    // The longest first: one may contain another.
    for (const secret of [...this.#values].sort((a, b) => b.length - a.length))
      if (clean.includes(secret)) clean = clean.replaceAll(secret, '***');
    return clean;
  }
}
