/** What all services have in common that are talked to over HTTP. */
import { z } from 'zod';
import type { IssueDetails } from '../../config/fields.ts';
import { stringifyJson } from '../../core/json.ts';
import { VERSION } from '../../version.ts';
import { failureOf, type HttpAnswer } from '../http/answer.ts';
import { HttpClient } from '../http/client.ts';
import { basic } from '../http/headers.ts';
import { OuzelError } from '../../errors.ts';
import type { Preview } from '../route.ts';
import type { Note, PreparedService, ServiceContext } from './service.ts';

/** Exchanges with one service at a time; more wait. */
const CONNECTIONS = 4;
const MAX_RESPONSE = 65_536;

const HIDDEN = '***';

/** The URL of a service; it holds no expression, and often is a secret as a whole. */
export const serviceUrl = (description: string) =>
  z
    .string()
    .superRefine((value, context) => {
      const problem = problemOf(value);
      const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE' };
      if (problem !== undefined)
        context.addIssue({ code: 'custom', message: `the URL ${problem}`, params: { ...params } });
    })
    .describe(description);

function problemOf(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || !/^https?:\/\//i.test(text)) return 'must begin with http:// or https:// and a host';
  // oxlint-disable-next-line no-control-regex -- control characters are among what must not stand in a URL
  if (/[\u0000-\u0020\u007f\\]/.test(text)) return 'holds a space, a backslash or a control character';
  return url.hash === '' ? undefined : 'has a fragment (#…), which is never sent';
}

interface HttpServiceOptions {
  readonly url: URL;
  /** Path and query, where it is not that of `url`. */
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** What must never be shown, beside the path of the URL. */
  readonly secrets?: readonly string[];
  /** The path as it may be shown. Default: hidden but for a lone slash. */
  readonly shownPath?: string;
  /** The document that a note becomes. */
  readonly document: (note: Note) => Readonly<Record<string, unknown>>;
  /** Milliseconds that the body of an answer asks to wait, where there is no `Retry-After`. */
  readonly retryAfter?: (body: string) => number | undefined;
  readonly encode?: PreparedService['encode'];
  readonly excerpt?: PreparedService['excerpt'];
  readonly more?: PreparedService['more'];
  readonly urgent?: PreparedService['urgent'];
}

/** A service that takes a JSON document by POST, and says by the status whether it has it. */
export function httpService(options: HttpServiceOptions, context: ServiceContext): PreparedService {
  const { url, document, secrets = [] } = options;
  const { origin, hostname } = url;
  const { timeout, allowPrivate } = context;
  const client = new HttpClient({ origin, connections: CONNECTIONS, timeout, maxResponse: MAX_RESPONSE, allowPrivate });
  const path = options.path ?? url.pathname + url.search;
  const shownPath = options.shownPath ?? (path === '/' ? path : `/${HIDDEN}`);
  const credentials =
    url.username === '' && url.password === ''
      ? undefined
      : { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
  const headers: Record<string, string> = {
    'content-type': 'application/json; charset=utf-8',
    'user-agent': `ouzel/${VERSION}`,
    ...(credentials === undefined ? {} : { authorization: basic(credentials) }),
    ...options.headers,
  };
  const hidden = [
    url.href,
    path,
    ...path.split(/[/?&=]/).filter((part) => part.length >= LONG_ENOUGH),
    ...secrets,
    ...(credentials === undefined ? [] : [credentials.password]),
    ...(headers['authorization']?.split(' ').slice(1) ?? []),
  ].filter((secret) => secret.length > 1);

  return {
    hostname,
    ...(options.encode === undefined ? {} : { encode: options.encode }),
    ...(options.excerpt === undefined ? {} : { excerpt: options.excerpt }),
    ...(options.more === undefined ? {} : { more: options.more }),
    ...(options.urgent === undefined ? {} : { urgent: options.urgent }),
    async send(note, signal) {
      const body = stringifyJson(document(note));
      const answer = await client.send({ method: 'POST', path, headers, body }, signal);
      const failure = failureOf(answer, { asked: `POST ${origin}`, origin, secrets: hidden, now: Date.now() });
      if (failure !== undefined) throw withRetryAfter(failure, answer, options.retryAfter);
    },
    preview(note): Preview {
      const shown = stringifyJson(document(note));
      return {
        action: `POST ${origin}${shownPath}`,
        headers: Object.entries(headers).map(([name, value]) => [name, name === 'authorization' ? HIDDEN : value]),
        body: secrets.reduce((text, secret) => text.replaceAll(secret, HIDDEN), shown),
      };
    },
    close: () => client.close(),
  };
}

/** Parts of a path that may be tokens, rather than words such as `api` and `webhooks`. */
const LONG_ENOUGH = 9;

function withRetryAfter(
  failure: OuzelError,
  { body }: HttpAnswer,
  read: ((body: string) => number | undefined) | undefined,
): OuzelError {
  const asked = failure.retryAfter ?? read?.(Buffer.from(body).toString());
  if (asked === undefined || asked === failure.retryAfter) return failure;
  return new OuzelError(failure.code, failure.message, { status: failure.status, retryAfter: asked });
}

/** Seconds under one of these paths of a JSON document, as milliseconds. */
export function secondsIn(body: string, ...path: readonly string[]): number | undefined {
  try {
    let value: unknown = JSON.parse(body);
    for (const key of path) value = (value as Readonly<Record<string, unknown>> | null)?.[key];
    return typeof value === 'number' && value >= 0 ? Math.ceil(value * 1000) : undefined;
  } catch {
    return undefined;
  }
}
