/** What an HTTP answer means for the event: confirmed, rejected, rejected for good, or a target that is away. */
import { STATUS_CODES } from 'node:http';
import { excerptOf } from '../../core/excerpt.ts';
import { type ErrorCode, OuzelError } from '../../errors.ts';

/** An answer that came. */
export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The beginning of its body, which of a 2xx comes later than the status; all of it where it was wanted. */
  readonly body: Uint8Array;
}

/** Bytes of a body that are worth showing. */
export const EXCERPT = 300;

/** The target says something about itself, not about the event. */
const AWAY: ReadonlySet<number> = new Set([408, 425, 429]);

/** What the same request will be answered again, however often it is made. */
const FOR_GOOD: ReadonlySet<number> = new Set([400, 410, 413, 414, 415, 422, 431]);

/** The code of the error that a status stands for; undefined for a confirmation. */
export function codeOfStatus(status: number): ErrorCode | undefined {
  if (status >= 200 && status < 300) return undefined;
  if (status >= 500 || AWAY.has(status)) return 'TARGET_UNAVAILABLE';
  return FOR_GOOD.has(status) ? 'TARGET_REJECTED_FOR_GOOD' : 'TARGET_REJECTED';
}

/** The three forms of a date in HTTP all begin with a day of the week. `Date.parse` alone takes much else for a date. */
const HTTP_DATE = /^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? .*\d{2}:\d{2}:\d{2}/i;

/**
 * Milliseconds that `Retry-After` asks to wait; undefined when it is missing or nonsense.
 *
 * @param now Milliseconds since the epoch.
 */
export function retryAfter(value: string | undefined, now: number): number | undefined {
  const text = value?.trim() ?? '';
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1000;
  if (!HTTP_DATE.test(text)) return undefined;
  // The form of asctime() names no zone, and means UTC as the others do.
  const instant = Date.parse(/gmt$/i.test(text) ? text : `${text} GMT`);
  return Number.isNaN(instant) ? undefined : Math.max(0, instant - now);
}

/** Shorter ones would take half of every text away with them. */
const SHORTEST_SECRET = 4;

// oxlint-disable-next-line no-control-regex -- control characters are what must not get into a log
const CONTROL = /[\s\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]+/gu;

/** The beginning of a body as one line, with no secret in it: some servers send back what they were sent. */
export function shownBody(body: Uint8Array, secrets: readonly string[]): string {
  const { text } = excerptOf(body, 4 * EXCERPT);
  let line = text;
  for (const secret of secrets.toSorted((a, b) => b.length - a.length))
    if (secret.length >= SHORTEST_SECRET) line = line.replaceAll(secret, '***');
  line = line.replace(CONTROL, ' ').trim();
  return line.length > EXCERPT ? `${line.slice(0, EXCERPT).toWellFormed()}…` : line;
}

const first = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

/** Where a redirect would lead, as far as it is anybody's business. */
function redirection(location: string | undefined, origin: string): string {
  if (location === undefined) return '';
  const { origin: to } = URL.parse(location, origin) ?? {};
  return ` and points to ${to === undefined || to === 'null' ? 'what is no web address' : to}; redirects are not followed: set \`url\` to where it leads`;
}

interface Asked {
  readonly asked: string;
  readonly origin: string;
  readonly secrets: readonly string[];
  readonly now: number;
  readonly gone?: boolean;
}

/**
 * The error that an answer stands for; undefined for a confirmation.
 *
 * @param asked What was asked and whom, without credentials: `POST https://partner.example`.
 * @param origin Against which a `Location` is read.
 * @param secrets Texts of the request that must not be shown.
 * @param now Milliseconds since the epoch, for a `Retry-After` that is a date.
 * @param gone Whether a 410 is said of whoever was asked, and not of this request alone.
 */
export function failureOf(
  { status, headers, body }: HttpAnswer,
  { asked, origin, secrets, now, gone = false }: Asked,
): OuzelError | undefined {
  const code = gone && status === 410 ? 'TARGET_GONE' : codeOfStatus(status);
  if (code === undefined) return undefined;
  const name = STATUS_CODES[status] === undefined ? '' : ` ${STATUS_CODES[status]}`;
  const where = status >= 300 && status < 400 ? redirection(first(headers['location']), origin) : '';
  const said = shownBody(body, secrets);
  return new OuzelError(code, `${asked}: answered ${status}${name}${where}${said === '' ? '' : `: ${said}`}`, {
    status,
    retryAfter: retryAfter(first(headers['retry-after']), now),
  });
}
