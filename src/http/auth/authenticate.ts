/** Who asks, and what they may do: from the address, the credentials and `access`. */
import type { FastifyRequest } from 'fastify';
import type { Config } from '../../config/schema.ts';
import { asOuzelError, type ErrorCode } from '../../errors.ts';
import type { Logger } from '../../telemetry/log.ts';
import { Attempts } from './attempts.ts';
import { certificateOf } from './certificate.ts';
import type { RequestActor } from './needs.ts';
import { looksLikeJwt, Oidc } from './oidc.ts';
import { addressOf, foreignOrigin, remoteReason } from './origin.ts';
import { type AccessRules, allows, compileAccess, couldAllow, type Grant, type Match } from './rules.ts';
import type { About, Needs } from './needs.ts';

/** Wrong credentials of an address before it is told to wait, milliseconds until one more, addresses remembered. */
const WRONG = { burst: 10, every: 6_000, addresses: 10_000 };
/** Milliseconds between log lines about an issuer that cannot be asked. */
const SAY_AGAIN = 60_000;
const MAX_NAME = 200;

/** Why somebody is not let in. Never says which part of the credentials was wrong. */
export interface Refusal {
  readonly status: 401 | 403 | 429 | 503;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Everything, for who sits at the machine while there is no `access`; afterwards they see. */
const ALL: Grant = {
  scopes: new Set(['read', 'publish', 'operate', 'admin'] as const),
  types: undefined,
  consumers: undefined,
};
const SEE: Grant = { scopes: new Set(['read'] as const), types: undefined, consumers: undefined };

export interface Caller extends RequestActor {
  readonly grants: readonly Grant[];
  /** Whether it showed credentials. */
  readonly known: boolean;
}

const callerOf = (name: string, from: string, grants: readonly Grant[], known: boolean): Caller => ({
  name: name.slice(0, MAX_NAME),
  from,
  grants,
  known,
  may: (scope, about) => allows(grants, scope, about),
});

const CHALLENGE = 'Bearer realm="ouzel"';

const unauthorized = (detail: string, wrong: boolean): Refusal => ({
  status: 401,
  code: 'UNAUTHORIZED',
  detail,
  headers: { 'www-authenticate': wrong ? `${CHALLENGE}, error="invalid_token"` : CHALLENGE },
});

const forbidden = (detail: string): Refusal => ({ status: 403, code: 'FORBIDDEN', detail, headers: {} });

const WRONG_CREDENTIALS = unauthorized('the credentials are not valid', true);

export class Authenticator {
  readonly #config: () => Config;
  readonly #logger: Logger;
  readonly #local: boolean;
  readonly #wrong = new Attempts(WRONG);
  #compiled: { readonly of: Config['access']; readonly rules: AccessRules } | undefined;
  #issuer: { readonly of: string; readonly oidc: Oidc } | undefined;
  #saidAt = -Infinity;

  /**
   * @param config The one in force: each request is judged by it.
   * @param local Whether who sits at this machine is somebody without credentials.
   */
  constructor(config: () => Config, logger: Logger, local = true) {
    this.#config = config;
    this.#logger = logger;
    this.#local = local;
  }

  /** Who asks, or why nobody is let in who asks so. */
  async identify(request: FastifyRequest): Promise<Caller | Refusal> {
    const origin = foreignOrigin(request);
    if (origin !== undefined) return forbidden(origin);
    const from = addressOf(request);
    const shown = await this.#credentials(request);
    if (shown === 'wrong') {
      const wait = this.#wrong.take(from, performance.now());
      return wait === 0 ? WRONG_CREDENTIALS : tooMany(wait);
    }
    if (shown !== undefined && 'status' in shown) return shown;
    if (shown !== undefined) return callerOf(shown.name, from, shown.grants, true);
    if (!this.#local) return unauthorized('credentials are needed', false);
    const { configured } = this.#rules;
    const remote = remoteReason(request);
    if (remote === undefined) return callerOf('local', from, [configured ? SEE : ALL], false);
    return configured
      ? unauthorized('credentials are needed', false)
      : forbidden(`${remote}, and nobody else may ask: there is no \`access\` in the configuration`);
  }

  /** Forgets what was fetched. */
  close(): void {
    this.#issuer?.oidc.close();
  }

  get #rules(): AccessRules {
    const { access } = this.#config();
    if (this.#compiled?.of !== access) this.#compiled = { of: access, rules: compileAccess(access) };
    return this.#compiled.rules;
  }

  /** What is fetched of an issuer is kept as long as its settings are the same. */
  get #oidc(): Oidc | undefined {
    const { oidc } = this.#config().http;
    const of = JSON.stringify(oidc ?? null);
    if (this.#issuer?.of !== of) {
      this.#issuer?.oidc.close();
      this.#issuer = oidc === undefined ? undefined : { of, oidc: new Oidc(oidc) };
    }
    return this.#issuer?.oidc;
  }

  /** Undefined: none were shown. Those that are shown are always checked, also where none are needed. */
  async #credentials({ headers, socket }: FastifyRequest): Promise<Match | Refusal | 'wrong' | undefined> {
    const { authorization } = headers;
    const certificate = certificateOf(socket);
    if (certificate === 'invalid') return 'wrong';
    const byCertificate = certificate && this.#rules.byCertificate(certificate.names);
    if (authorization === undefined) return byCertificate;
    const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1];
    if (token === undefined) return 'wrong';
    const byToken = this.#rules.byToken(token) ?? (await this.#byJwt(token));
    if (byToken === undefined) return 'wrong';
    if ('status' in byToken) return byToken;
    return { name: byToken.name, grants: [...byToken.grants, ...(byCertificate?.grants ?? [])] };
  }

  async #byJwt(token: string): Promise<Match | Refusal | undefined> {
    const oidc = this.#oidc;
    if (oidc === undefined || !this.#rules.jwt || !looksLikeJwt(token)) return undefined;
    try {
      const claims = await oidc.verify(token);
      return claims && { name: String(claims['sub']), grants: this.#rules.byClaims(claims) };
    } catch (error) {
      const { code, message } = asOuzelError(error, 'OIDC_UNAVAILABLE');
      const now = performance.now();
      if (now - this.#saidAt >= SAY_AGAIN) {
        this.#saidAt = now;
        this.#logger.error({ code }, message);
      }
      // Where the issuer is, and what became of it, is not for who has no valid token.
      return { status: 503, code: 'OIDC_UNAVAILABLE', detail: 'tokens cannot be checked now', headers: {} };
    }
  }
}

function tooMany(wait: number): Refusal {
  const seconds = Math.ceil(wait / 1000);
  return {
    status: 429,
    code: 'TOO_MANY_ATTEMPTS',
    detail: 'too many wrong credentials came from this address',
    headers: { 'retry-after': String(seconds) },
  };
}

/** Why somebody may not do what a route needs, or undefined when they may. */
export function missingRight(caller: Caller, needs: Needs, about: About): Refusal | undefined {
  const { scope, narrows = false } = needs;
  const may = narrows ? couldAllow(caller.grants, scope, about) : caller.may(scope, about);
  if (may) return undefined;
  // Whom nobody knows can do something about it.
  if (!caller.known) return unauthorized('credentials are needed for this', false);
  const of = [
    ...(about.consumer === undefined ? [] : [`of this consumer`]),
    ...(about.type === undefined ? [] : ['of this type']),
  ].join(' and ');
  const refusal = forbidden(`\`${scope}\`${of === '' ? '' : ` ${of}`} is not allowed to ${caller.name}`);
  return {
    ...refusal,
    headers: { 'www-authenticate': `${CHALLENGE}, error="insufficient_scope", scope="${scope}"` },
  };
}
