/** Bodies that come in: bounded one by one and all together, and read as what they are said to be. */
import type { IncomingMessage } from 'node:http';
import { isJsonType } from '../../core/event.ts';
import { parseJson } from '../../core/json.ts';
import { asOuzelError } from '../../errors.ts';
import { LARGEST_BODY, type ContentKind } from '../../sources/webhook.ts';
import { HttpError } from '../problem.ts';

/** Bytes of all bodies that are in memory at once. */
const BUDGET = 2 * LARGEST_BODY;
/** Seconds after which somebody who came when there was no room may come again. */
const LATER = '5';

/** Counts the bytes in memory. */
export class Budget {
  #used = 0;

  take(bytes: number): boolean {
    if (this.#used + bytes > BUDGET) return false;
    this.#used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}

const tooLarge = (limit: number): HttpError =>
  new HttpError(413, `the body is larger than ${limit} bytes`, 'TARGET_TOO_LARGE');

/**
 * The body of a request. What was taken of the budget is the caller's to give back: `length` says how much.
 *
 * @throws HttpError 413 as soon as it is too large, 503 where there is no room, 400 where it breaks off
 */
export async function readBody(
  request: IncomingMessage,
  limit: number,
  budget: Budget,
  taken: { length: number },
): Promise<Buffer> {
  const said = Number(request.headers['content-length'] ?? 0);
  if (said > limit) throw tooLarge(limit);
  const chunks: Buffer[] = [];
  try {
    // Who sends too much is told so: that needs the connection.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      if (taken.length + chunk.length > limit) throw tooLarge(limit);
      if (!budget.take(chunk.length))
        throw new HttpError(503, 'there are too many bodies in work', 'RATE_LIMITED', { 'retry-after': LATER });
      taken.length += chunk.length;
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof HttpError) throw error;
    throw new HttpError(400, 'the body broke off');
  }
  return Buffer.concat(chunks);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** @throws HttpError 400 */
export function textOf(body: Buffer): string {
  try {
    return utf8.decode(body);
  } catch {
    throw new HttpError(400, 'the body is not UTF-8', 'EVENT_UNDECODABLE');
  }
}

/** A media type without parameters, in lower case; empty where there is none. */
export const mediaOf = (contentType: string | undefined): string =>
  (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';

/**
 * Refuses what no body can be read of: a charset other than UTF-8, and what was compressed (whose signature would be of
 * something else than what is read).
 *
 * @throws HttpError 415
 */
export function checkEncoding(headers: ReadonlyMap<string, string>): void {
  const encoding = headers.get('content-encoding') ?? 'identity';
  if (encoding.toLowerCase() !== 'identity')
    throw new HttpError(415, `the content-encoding ${encoding} is not taken`, 'USAGE', {
      'accept-encoding': 'identity',
    });
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(headers.get('content-type') ?? '')?.[1];
  if (charset !== undefined && !/^(?:utf-8|us-ascii)$/i.test(charset))
    throw new HttpError(415, `the charset ${charset} is not taken; UTF-8 is`);
}

/** What kind of body a media type is, CloudEvents aside. */
export function kindOf(media: string): ContentKind {
  if (media === '') return 'raw';
  if (media === 'application/x-www-form-urlencoded') return 'form';
  if (isJsonType(media)) return 'json';
  return /^text\/|^application\/(?:[\w.-]+\+)?xml$/.test(media) ? 'text' : 'raw';
}

/** Fields by name; a list where a name stands several times. Own properties, whatever they are called. */
export function fieldsOf(encoded: string): Readonly<Record<string, unknown>> {
  const all = new Map<string, string | string[]>();
  for (const [name, value] of new URLSearchParams(encoded)) {
    const before = all.get(name);
    all.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(all);
}

/** The value of a body. @throws HttpError 400 */
export function valueOf(kind: ContentKind, body: Buffer): unknown {
  if (body.length === 0) return null;
  if (kind === 'raw' || kind === 'cloudevents') return body;
  const text = textOf(body);
  if (kind === 'text') return text;
  return kind === 'form' ? fieldsOf(text) : jsonOf(text);
}

/** @throws HttpError 400 */
function jsonOf(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new HttpError(400, `the body is ${asOuzelError(error).message}`, 'EVENT_UNDECODABLE');
  }
}
