/** JSON Web Tokens of one issuer, checked with keys that are fetched from it and kept. */
import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { Agent, fetch as undiciFetch } from 'undici';
import type { OidcSettings } from '../../config/http.ts';
import { guardedConnector } from '../../deliver/http/client.ts';
import { OuzelError } from '../../errors.ts';
import type { Claims } from './rules.ts';

/** Seconds by which clocks may differ. */
const CLOCK_TOLERANCE = 10;
/** Bytes of a document of the issuer. */
const MAX_DOCUMENT = 1_048_576;
/** Milliseconds for which an issuer that cannot be asked is not asked again, at most. */
const AFTER_FAILURE = 5_000;

/** Whether a bearer token looks like a JSON Web Token: three parts, of which the first is an object. */
export const looksLikeJwt = (token: string): boolean => /^eyJ[\w-]+\.[\w-]*\.[\w-]*$/.test(token);

export class Oidc {
  readonly #settings: OidcSettings;
  readonly #where: string;
  #keys: Promise<JWTVerifyGetKey> | undefined;
  #client: Promise<{ readonly agent: Agent; readonly fetch: typeof undiciFetch }> | undefined;
  /** Until when the issuer is not asked again, and why. */
  #away: { readonly until: number; readonly error: OuzelError } | undefined;

  /** @param where The settings stand in the configuration, for errors. */
  constructor(settings: OidcSettings, where = 'http.oidc') {
    this.#settings = settings;
    this.#where = where;
  }

  /**
   * Checks signature, algorithm, issuer, audience and time.
   *
   * @returns The claims, or undefined for a token that is not valid: nobody learns why.
   * @throws OuzelError OIDC_UNAVAILABLE when the keys cannot be fetched
   */
  async verify(token: string): Promise<Claims | undefined> {
    const { issuer, audience, algorithms } = this.#settings;
    const keys = await (this.#keys ??= this.#open());
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer,
        audience,
        algorithms,
        clockTolerance: CLOCK_TOLERANCE,
        requiredClaims: ['exp', 'sub'],
      });
      return typeof payload.sub === 'string' && payload.sub !== '' ? payload : undefined;
    } catch (error) {
      if (isInvalid(error)) return undefined;
      // jose's other errors are about what the issuer answered.
      throw error instanceof errors.JOSEError ? this.#failed(error) : this.#failure(error);
    }
  }

  close(): void {
    this.#client?.then(({ agent }) => agent.close()).catch(() => undefined);
  }

  async #open(): Promise<JWTVerifyGetKey> {
    try {
      const { cache, cooldown, timeout } = this.#settings;
      return createRemoteJWKSet(new URL(await this.#whereKeysAre()), {
        cacheMaxAge: cache,
        cooldownDuration: cooldown,
        timeoutDuration: timeout,
        [customFetch]: (url, { signal }) => this.#fetch(url, signal),
      });
    } catch (error) {
      this.#keys = undefined;
      throw this.#failed(error);
    }
  }

  /** @throws when the issuer does not say it, or says that it is another one */
  async #whereKeysAre(): Promise<string> {
    const { issuer, jwks, timeout } = this.#settings;
    if (jwks !== undefined) return jwks;
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const response = await this.#fetch(url, AbortSignal.timeout(timeout));
    const document = (await response.json()) as { readonly issuer?: unknown; readonly jwks_uri?: unknown } | null;
    if (document?.issuer !== issuer) throw new Error(`${url} speaks of another issuer than ${this.#where}.issuer`);
    const { jwks_uri: found } = document;
    if (typeof found !== 'string' || !/^https?:\/\//.test(found)) throw new Error(`${url} names no jwks_uri`);
    if (issuer.startsWith('https:') && !found.startsWith('https:'))
      throw new Error(`${url} names a jwks_uri without TLS`);
    return found;
  }

  async #fetch(url: string, signal: AbortSignal): Promise<Response> {
    const away = this.#away;
    if (away !== undefined && performance.now() < away.until) throw away.error;
    const { agent, fetch } = await (this.#client ??= this.#connect());
    try {
      const response = await fetch(url, {
        dispatcher: agent,
        signal,
        redirect: 'manual',
        headers: { accept: 'application/json', 'accept-encoding': 'identity' },
      });
      // Read here: a body that breaks off, or is too large, is a failure of the fetch.
      const body = await response.arrayBuffer();
      if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
      this.#away = undefined;
      return new Response(body, { headers: { 'content-type': 'application/json' } });
    } catch (error) {
      throw this.#failed(error);
    }
  }

  async #connect(): Promise<{ readonly agent: Agent; readonly fetch: typeof undiciFetch }> {
    const { timeout, allow_private: allowPrivate } = this.#settings;
    const { Agent, buildConnector, fetch } = await import('undici');
    const connect = guardedConnector(
      buildConnector,
      timeout,
      allowPrivate,
      `\`allow_private: true\` in ${this.#where}`,
    );
    return { agent: new Agent({ connect, maxResponseSize: MAX_DOCUMENT, connections: 2 }), fetch };
  }

  /** Remembers it for a while: a flood of tokens must not become a flood of requests. */
  #failed(error: unknown): OuzelError {
    const failure = this.#failure(error);
    const pause = Math.min(AFTER_FAILURE, this.#settings.cooldown);
    this.#away = { until: performance.now() + pause, error: failure };
    return failure;
  }

  #failure(error: unknown): OuzelError {
    if (error instanceof OuzelError && error.code === 'OIDC_UNAVAILABLE') return error;
    const { message, cause } = error as { readonly message?: string; readonly cause?: unknown };
    const why = cause instanceof Error ? cause.message : (message ?? String(error));
    return new OuzelError('OIDC_UNAVAILABLE', `the keys of ${this.#settings.issuer} cannot be fetched: ${why}`, {
      cause: error,
    });
  }
}

/** What is wrong with the token itself, not with what it takes to check it. */
const INVALID: ReadonlySet<string> = new Set([
  errors.JWTClaimValidationFailed.code,
  errors.JWTExpired.code,
  errors.JWTInvalid.code,
  errors.JWSInvalid.code,
  errors.JWSSignatureVerificationFailed.code,
  errors.JOSEAlgNotAllowed.code,
  errors.JOSENotSupported.code,
  errors.JWKSNoMatchingKey.code,
  errors.JWKSMultipleMatchingKeys.code,
]);

const isInvalid = (error: unknown): boolean => error instanceof errors.JOSEError && INVALID.has(error.code);
