/** What must not be shown: kept to be taken out of every text, and represented by marks. */
import { scryptSync } from 'node:crypto';
import { mapItems } from './copy.ts';
import type { ConfigPath } from './source.ts';

const SECRET_WORDS =
  /(?:^|_)(?:SECRETS?|TOKENS?|PASSWORDS?|PASSWD|PASSPHRASE|PASS|PWD|KEYS?|APIKEY|NKEYS?|SEED|CREDS?|CREDENTIALS?|AUTH)(?:_|$)/i;
const NOT_SECRET = /_(?:FILE|PATH|DIR|NAME|ID)$/i;

/** Whether the name of an environment variable sounds as if its value were secret. */
export const isSecretName = (name: string): boolean => SECRET_WORDS.test(name) && !NOT_SECRET.test(name);

/** Ouzel's own word for what a thing is found by, in many places. */
const NO_SECRET_KEYS: ReadonlySet<string> = new Set(['key', 'keys', 'dedup_key']);
const SECRET_HEADERS = /^(?:authorization|proxy-authorization|cookie|set-cookie|x-api-key)$/i;

/** Services whose URL is all that it takes to post there. */
const SECRET_URLS: ReadonlySet<string> = new Set(['slack', 'discord', 'teams']);

/**
 * Whether what stands under a key of a configuration is not to be shown, for how the key sounds.
 *
 * @param parent The key of the mapping that it stands in.
 */
export const isSecretKey = (name: string, parent = ''): boolean =>
  SECRET_HEADERS.test(name) ||
  (name === 'url' && SECRET_URLS.has(parent)) ||
  (isSecretName(name.replaceAll('-', '_')) && !NO_SECRET_KEYS.has(name.toLowerCase()));

/** What is secret in the options of a webhook, by where it stands. */
const WEBHOOK_SECRETS =
  /^(?:sign\.(?:standard\.secrets\.\d+|github\.secret|hmac\.secret)|auth\.(?:bearer|basic\.password|header\.value|oauth2\.client_secret))$/;

function isWebhookSecret(path: ConfigPath): boolean {
  const at = path.indexOf('webhook');
  const option = path[at + 1];
  return at >= 0 && (option === 'sign' || option === 'auth') && WEBHOOK_SECRETS.test(path.slice(at + 1).join('.'));
}

/** What is secret of a messaging service, beside such URLs. */
const NOTIFY_SECRETS: ReadonlySet<string> = new Set([
  'telegram.token',
  'ntfy.token',
  'pagerduty.routing_key',
  'email.password',
]);

const isNotifySecret = (path: ConfigPath): boolean => {
  const [service = '', option = ''] = path.slice(-2).map(String);
  return NOTIFY_SECRETS.has(`${service}.${option}`) || (option === 'url' && SECRET_URLS.has(service));
};

/** Fields that are secret whatever stands in them. */
export const isSecretField = (path: ConfigPath): boolean => {
  const [section, field, key, last, , option] = path;
  if (section === 'nats') return field === 'token' || field === 'password' || field === 'nkey';
  if (section === 'access') return key === 'who' && last === 'token';
  if (section === 'sources') return last === 'verify' && /^secrets?$/.test(String(option));
  if (path.at(-3) === 'notify') return isNotifySecret(path);
  return (section === 'targets' || section === 'consumers') && isWebhookSecret(path);
};

/** Fields whose value is the path of a file. */
export const isPathField = (path: ConfigPath): boolean => {
  const [section, field, key] = path;
  if (path.at(-2) === 'tls' && path.at(-3) === 'webhook') return true;
  return (
    (section === 'nats' && field === 'creds') ||
    ((section === 'nats' || section === 'http') && (field === 'tls' || field === 'ingress_tls') && key !== undefined)
  );
};

const URL_OWNERS: ReadonlySet<string> = new Set(['webhook', 'http', 'sql', 'ntfy', 'email', 'telegram', 'pagerduty']);

/** Fields in which `user:password@` may stand. */
export const isUrlField = (path: ConfigPath): boolean => {
  const [section, field, key] = path;
  if (path.at(-1) === 'url' && URL_OWNERS.has(String(path.at(-2)))) return true;
  return (
    (section === 'nats' && field === 'servers') || (section === 'telemetry' && field === 'traces' && key === 'endpoint')
  );
};

/** `user:password@` or `token@` of a URL. */
const USERINFO = /((?:^|,\s*|:\/\/))([^\s/@,]+)(?=@)/g;

/** Shorter ones would take half of every text away with them. */
const SHORTEST = 4;

/** Marks that were made already: they are slow on purpose. */
const marks = new Map<string, string>();
const MAX_MARKS = 1000;

/**
 * What stands in place of a secret: the same on every instance, so that instances with one configuration agree, and
 * slow to make, so that a short secret cannot be guessed from it.
 */
function markOf(secret: string): string {
  const known = marks.get(secret);
  if (known !== undefined) return known;
  const mark = `<secret ${scryptSync(secret, 'ouzel', 8).toString('hex')}>`;
  if (marks.size >= MAX_MARKS) marks.clear();
  marks.set(secret, mark);
  return mark;
}

export class Secrets {
  readonly #values = new Set<string>();

  /** Keeps a secret, and says what stands in its place. */
  add(secret: string): string {
    for (const text of [secret, ...secret.split(/\r?\n/)]) {
      if (text.trim().length < SHORTEST) continue;
      this.#values.add(text);
      // As it looks in JSON and in a URL.
      this.#values.add(JSON.stringify(text).slice(1, -1));
      this.#values.add(encodeURIComponent(text.toWellFormed()));
    }
    return markOf(secret);
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
    return this.#replaced(text, () => '***');
  }

  /** The same with a star for each of their characters, so that carets stay where they belong. */
  mask(text: string): string {
    return this.#replaced(text, (secret) => '*'.repeat(secret.length));
  }

  #replaced(text: string, stars: (secret: string) => string): string {
    let clean = text;
    // The longest first: one may contain another.
    for (const secret of [...this.#values].sort((a, b) => b.length - a.length))
      if (clean.includes(secret)) clean = clean.replaceAll(secret, stars(secret));
    return clean;
  }
}

/**
 * Marks in place of what stands in fields that are secret, whether it came from outside or not. Parts without any are
 * the same objects in the result.
 */
export function hideSecretFields(value: unknown, secrets: Secrets, path: (string | number)[] = []): unknown {
  if (typeof value === 'object' && value !== null) {
    const list = Array.isArray(value);
    return mapItems(value, (item, key) => {
      path.push(list ? Number(key) : key);
      const hidden = hideSecretFields(item, secrets, path);
      path.pop();
      return hidden;
    });
  }
  const isText = typeof value === 'string' || typeof value === 'number';
  if (!isText || value === '') return value;
  if (isSecretField(path)) return /^<secret [0-9a-f]+>$/.test(String(value)) ? value : secrets.add(String(value));
  return isUrlField(path) ? secrets.addUrl(String(value)) : value;
}
