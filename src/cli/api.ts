/** Talks to a running daemon over its API: where it is, who asks, and what its errors are. */
import type { Command } from 'commander';
import { z } from 'zod';
import { loadConfig } from '../config/load.ts';
import { ConfigError, type ConfigProblem } from '../config/problems.ts';
import { type ErrorCode, ERRORS, OuzelError } from '../errors.ts';

/** The options that all commands have which talk to a daemon. */
export interface ApiOptions {
  readonly config?: string;
  readonly url?: string;
  readonly token?: string;
}

/** A daemon that answers. */
export interface Api {
  /** `http://127.0.0.1:9464` */
  readonly base: string;
  /**
   * Asks for a path such as `/api/v1/consumers`, and answers once the status is known to be a good one.
   *
   * @throws OuzelError DAEMON_UNAVAILABLE, or the one that the daemon answered with
   */
  request(path: string, init?: RequestInit): Promise<Response>;
  /** The same with a JSON body and answer. */
  call<Body>(method: string, path: string, body?: unknown): Promise<Body>;
}

/** Adds `--url` and `--token` to a command. */
export const apiOptions = (command: Command): Command =>
  command
    .option('--url <url>', "the daemon's admin address (default: http.listen of the configuration)")
    .option(
      '--token <token>',
      'credentials of `access` (default: $OUZEL_TOKEN; there nobody sees it who lists processes)',
    );

/**
 * The daemon that is meant: `--url`, else that of the configuration.
 *
 * @throws OuzelError CONFIG_*, USAGE
 */
export async function openApi(options: ApiOptions, env = process.env): Promise<Api> {
  const base = options.url === undefined ? await addressOf(options.config) : originOf(options.url);
  const token = options.token ?? env['OUZEL_TOKEN'] ?? '';
  if (token !== '' && !/^[\x21-\x7e]+$/.test(token))
    throw new OuzelError('USAGE', 'the token has characters that no token has: is there a line end at its end?');
  const request: Api['request'] = async (path, init = {}) => {
    const headers = new Headers(init.headers);
    if (token !== '') headers.set('authorization', `Bearer ${token}`);
    // A redirect would take the token elsewhere.
    const response = await ask(base, `${base}${path}`, { ...init, headers, redirect: 'error' });
    if (response.ok) return response;
    throw await problemOf(response, base);
  };
  return {
    base,
    request,
    call: async <Body>(method: string, path: string, body?: unknown): Promise<Body> => {
      const json = { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
      const response = await request(path, { method, ...(body === undefined ? {} : json) });
      return (await response.json()) as Body;
    },
  };
}

/** What to say of a daemon that does not answer as it should. */
export const unavailable = (base: string, reason: string, cause?: unknown): OuzelError =>
  new OuzelError('DAEMON_UNAVAILABLE', `the daemon at ${base}: ${reason}`, { cause });

function originOf(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new OuzelError('USAGE', `--url: "${text}" is no http:// or https:// URL`);
  return url.origin;
}

/** Where the daemon of a configuration listens, as seen from this machine. */
async function addressOf(file: string | undefined): Promise<string> {
  const { config } = await loadConfig({ file, env: process.env, cwd: process.cwd() });
  const { listen, tls } = config.http;
  const { host, port } = listen;
  if (port === 0) throw new OuzelError('USAGE', 'http.listen leaves the port to the system: --url says which it is');
  // Its certificate has a name, which nothing here tells.
  const scheme = tls === undefined ? 'http' : 'https';
  if (host === '0.0.0.0') return `${scheme}://127.0.0.1:${port}`;
  if (host === '::') return `${scheme}://[::1]:${port}`;
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

async function ask(base: string, url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    const { cause, message } = error as { readonly cause?: { readonly message?: string }; readonly message?: string };
    throw unavailable(base, cause?.message ?? message ?? 'no answer', error);
  }
}

/** What is wrong with a configuration, as problem details have it. */
const configProblem = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  path: z.string().default(''),
  place: z.object({ file: z.string(), line: z.number(), column: z.number() }).optional(),
  excerpt: z.string().optional(),
});

const problemDetails = z.object({
  code: z.string().optional(),
  detail: z.string().optional(),
  problems: z.array(configProblem).optional().catch(undefined),
});

/** The daemon's own error: of problem details, with its code where this version knows it. */
async function problemOf(response: Response, base: string): Promise<OuzelError> {
  const { status } = response;
  const text = await response.text().catch(() => '');
  const { code, detail, problems = [] } = parsed(text);
  if (problems.length > 0) return new ConfigError(problems.map(asProblem));
  const hint = status === 401 ? '. Give credentials with --token or $OUZEL_TOKEN' : '';
  return new OuzelError(
    codeOf(code) ?? codeOfStatus(status),
    `${detail ?? `${base} answered ${status}: ${text.slice(0, 200)}`}${hint}`,
    { status },
  );
}

const codeOf = (code: string | undefined): ErrorCode | undefined =>
  code !== undefined && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : undefined;

const codeOfStatus = (status: number): ErrorCode => (status >= 500 ? 'DAEMON_UNAVAILABLE' : 'NOT_FOUND');

function asProblem(problem: z.output<typeof configProblem>): ConfigProblem {
  const { place, message, hint, path } = problem;
  const [text = '', caret = ''] = problem.excerpt?.split('\n') ?? [];
  const excerpt =
    place === undefined || problem.excerpt === undefined
      ? undefined
      : { line: place.line, text, indent: caret.indexOf('^'), width: caret.trim().length };
  return { code: codeOf(problem.code) ?? 'CONFIG_INVALID_VALUE', place, message, hint, path, excerpt };
}

function parsed(text: string): z.output<typeof problemDetails> {
  try {
    return problemDetails.safeParse(JSON.parse(text)).data ?? {};
  } catch {
    return {};
  }
}
