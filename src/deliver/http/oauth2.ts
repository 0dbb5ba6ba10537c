/** Tokens of OAuth 2.0, client credentials (RFC 6749, section 4.4). */
import { z } from 'zod';
import { literal } from '../../config/fields.ts';
import { parseJson } from '../../core/json.ts';
import { asOuzelError, OuzelError } from '../../errors.ts';
import { VERSION } from '../../version.ts';
import { failureOf } from './answer.ts';
import type { Authorizer } from './auth.ts';
import { HttpClient } from './client.ts';
import { basic, httpValue } from './headers.ts';

export const oauth2Options = () =>
  z
    .strictObject({
      token_url: z
        .string()
        .refine(
          (value) => {
            const { protocol = '', username, hash } = URL.parse(value) ?? {};
            return /^https?:$/.test(protocol) && username === '' && hash === '';
          },
          { error: 'must be an http:// or https:// URL with no user and no fragment' },
        )
        .describe('Where tokens are given out. `allow_private` holds for it too.'),
      client_id: literal().describe('The name of the client.'),
      client_secret: literal().describe('Its secret. Put it in as `${file:…}` or `${VAR}`.'),
      scope: literal().optional().describe('The scopes to ask for, separated by spaces.'),
      audience: literal().optional().describe('For whom the token is, where the issuer wants to know.'),
      client_auth: z
        .enum(['header', 'body'])
        .default('header')
        .describe('How the client shows who it is: basic authentication, or fields of the form.'),
    })
    .describe(
      'OAuth 2.0 client credentials: a token is fetched once for all deliveries, again shortly before it expires, and once more when the target answers 401.',
    );

export type OAuth2Options = z.output<ReturnType<typeof oauth2Options>>;

/** Milliseconds that a token is used whose issuer does not say how long it is valid. */
const UNSAID = 300_000;
/** A token is not used for the last part of its time, and not in its last minute. */
const UNUSED_SHARE = 0.1;
const UNUSED = 60_000;
/** Bytes of an answer that are read. */
const MAX_ANSWER = 65_536;

/** A token, as `Authorization` has it, and until when it is used; milliseconds of the monotonic clock. */
interface Token {
  readonly value: string;
  readonly until: number;
}

/** Form encoding, as RFC 6749 wants it of the two parts of basic authentication. */
const formEncoded = (text: string): string => new URLSearchParams({ x: text }).toString().slice('x='.length);

export class OAuth2Tokens implements Authorizer {
  readonly name = 'authorization';
  readonly #options: OAuth2Options;
  readonly #limits: { readonly timeout: number; readonly allowPrivate: boolean };
  readonly #origin: string;
  #token: Token | undefined;
  #fetching: Promise<string> | undefined;

  constructor(options: OAuth2Options, limits: { readonly timeout: number; readonly allowPrivate: boolean }) {
    this.#options = options;
    this.#limits = limits;
    this.#origin = new URL(options.token_url).origin;
  }

  async value(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    if (this.#token !== undefined && performance.now() < this.#token.until) return this.#token.value;
    // One asks, and all who come meanwhile wait for that answer.
    this.#fetching ??= this.#fetch().finally(() => (this.#fetching = undefined));
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([this.#fetching, aborted]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  refused(value: string): boolean {
    if (this.#token?.value === value) this.#token = undefined;
    return true;
  }

  async #fetch(): Promise<string> {
    try {
      this.#token = this.#tokenOf(await this.#ask());
      return this.#token.value;
    } catch (error) {
      const { code, kind, message, retryAfter } = asOuzelError(error, 'TARGET_UNAVAILABLE');
      // Without a token nobody knows what the target thinks of the event.
      throw new OuzelError(kind === 'unavailable' ? code : 'TARGET_UNAVAILABLE', `no token: ${message}`, {
        cause: error,
        retryAfter,
      });
    }
  }

  async #ask(): Promise<unknown> {
    const { token_url: url, client_id: id, client_secret: secret, scope, audience, client_auth: way } = this.#options;
    const form = new URLSearchParams({ grant_type: 'client_credentials' });
    if (scope !== undefined) form.set('scope', scope);
    if (audience !== undefined) form.set('audience', audience);
    if (way === 'body') {
      form.set('client_id', id);
      form.set('client_secret', secret);
    }
    const authorization = basic({ user: formEncoded(id), password: formEncoded(secret) });
    const { pathname, search } = new URL(url);
    const origin = this.#origin;
    // It is needed once an hour or so: a connection of its own, which is closed behind it.
    const client = new HttpClient({ ...this.#limits, origin, connections: 1, maxResponse: MAX_ANSWER });
    try {
      const answer = await client.fetch(
        {
          method: 'POST',
          path: pathname + search,
          headers: {
            'user-agent': `ouzel/${VERSION}`,
            accept: 'application/json',
            'content-type': 'application/x-www-form-urlencoded',
            ...(way === 'header' ? { authorization } : {}),
          },
          body: form.toString(),
        },
        new AbortController().signal,
      );
      const secrets = [secret, formEncoded(secret), authorization.slice('Basic '.length)];
      const failure = failureOf(answer, { asked: `POST ${origin}`, origin, secrets, now: Date.now() });
      if (failure !== undefined) throw failure;
      return this.#json(answer.body);
    } finally {
      client.close();
    }
  }

  #json(body: Uint8Array): unknown {
    try {
      return parseJson(new TextDecoder('utf-8', { fatal: true }).decode(body));
    } catch {
      // What it says may be a token.
      throw this.#unusable('the answer is not JSON');
    }
  }

  #tokenOf(answer: unknown): Token {
    const { access_token: token, token_type: type, expires_in: seconds } = (answer ?? {}) as Record<string, unknown>;
    if (typeof token !== 'string' || token === '') throw this.#unusable('the answer has no `access_token`');
    if (typeof type === 'string' && type.toLowerCase() !== 'bearer')
      throw this.#unusable('the answer has a `token_type` other than Bearer');
    const valid = seconds === undefined || !(Number(seconds) > 0) ? UNSAID : Number(seconds) * 1000;
    const unused = Math.min(UNUSED, valid * UNUSED_SHARE);
    return { value: httpValue(`Bearer ${token}`), until: performance.now() + valid - unused };
  }

  #unusable(problem: string): OuzelError {
    return new OuzelError('TARGET_UNAVAILABLE', `POST ${this.#origin}: ${problem}`);
  }
}
