/** The connection to NATS: it reconnects without limit, and says what becomes of it. */
import { readFileSync } from 'node:fs';
import {
  type Auth,
  type Authenticator,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
  PermissionViolationError,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node';
import { OuzelError } from '../errors.ts';
import { Denials } from './denials.ts';

export interface NatsSettings {
  readonly servers: string | readonly string[];
  /** Path of a file, read anew at every connect, so that rotated credentials are taken up. */
  readonly creds?: string | undefined;
  /** Such a path, or the seed itself. */
  readonly nkey?: string | undefined;
  readonly token?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly tls?:
    | { readonly ca?: string | undefined; readonly cert?: string | undefined; readonly key?: string | undefined }
    | undefined;
}

export interface ConnectionEvents {
  disconnected(server: string): void;
  reconnected(server: string): void;
  /** Permissions, stale connections, lame duck: worth a line in the log. */
  warning(message: string): void;
}

/** The oldest server that Ouzel works with. */
const OLDEST: readonly [number, number] = [2, 12];

const RECONNECT_WAIT = 500;

/** An NKey seed, from a file or as it is (RFC 4648 base32, starting with S). */
const seedOf = (nkey: string): string => (/^S[A-Z2-7]{50,}$/.test(nkey) ? nkey : readFileSync(nkey, 'utf8').trim());

/** How the user says who it is, asked anew at every connect: what was replaced meanwhile counts. */
function authenticator(current: () => NatsSettings): Authenticator {
  return (nonce) => {
    const settings = current();
    const { creds, nkey, token, user, password } = settings;
    if (creds !== undefined) return credsAuthenticator(() => readFileSync(creds))(nonce);
    if (nkey !== undefined) return nkeyAuthenticator(() => Buffer.from(seedOf(nkey)))(nonce);
    if (token !== undefined) return tokenAuthenticator(token)(nonce);
    if (user !== undefined) return usernamePasswordAuthenticator(user, password)(nonce);
    return userinfo(urlsOf(settings));
  };
}

const urlsOf = ({ servers }: NatsSettings): string[] =>
  typeof servers === 'string' ? servers.split(',').map((each) => each.trim()) : [...servers];

/** User and password of `nats://user:password@host`, which nats.js does not take from the URL. */
function userinfo(servers: readonly string[]): Auth {
  for (const server of servers) {
    const match = /^[a-z]+:\/\/([^@/]+)@/i.exec(server)?.[1];
    if (match === undefined) continue;
    const [user, pass] = match.split(':').map(decodeURIComponent);
    return pass === undefined ? { auth_token: user ?? '' } : { user: user ?? '', pass };
  }
  return undefined;
}

/**
 * Connects, waiting for the first server as long as it takes.
 *
 * @param settings The section `nats` of the configuration.
 * @param wait Whether to wait for a server that is away; else its absence is an error.
 * @param current Settings whose credentials count at the next connect: those of the configuration in force.
 * @throws OuzelError NATS_UNAVAILABLE (only when not waiting, or when the connection was closed meanwhile)
 */
export async function connectNats(
  settings: NatsSettings,
  wait = true,
  current: () => NatsSettings = () => settings,
): Promise<NatsConnection> {
  const servers = urlsOf(settings);
  const { ca, cert, key } = settings.tls ?? {};
  const tls =
    settings.tls === undefined
      ? {}
      : {
          tls: {
            ...(ca === undefined ? {} : { caFile: ca }),
            ...(cert === undefined ? {} : { certFile: cert }),
            ...(key === undefined ? {} : { keyFile: key }),
          },
        };
  try {
    return await connect({
      servers: servers.map((server) => server.replace(/^([a-z]+:\/\/)[^@/]+@/i, '$1')),
      name: 'ouzel',
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT,
      waitOnFirstConnect: wait,
      ignoreAuthErrorAbort: true,
      pingInterval: 10_000,
      maxPingOut: 2,
      timeout: 10_000,
      noEcho: false,
      authenticator: authenticator(current),
      ...tls,
    });
  } catch (error) {
    const shown = servers.map((server) => server.replace(/\/\/[^@/]+@/, '//')).join(', ');
    throw new OuzelError('NATS_UNAVAILABLE', `cannot connect to ${shown}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** @throws OuzelError NATS_UNSUPPORTED for a server that is too old, or without JetStream and headers. */
export function checkServer(connection: NatsConnection): void {
  const { info } = connection;
  const [major = 0, minor = 0] = (info?.version ?? '').split('.').map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
    throw new OuzelError(
      'NATS_UNSUPPORTED',
      `nats-server ${info?.version ?? 'of unknown version'} is too old: Ouzel needs ${OLDEST.join('.')} or newer`,
    );
  if (info?.jetstream !== true && info?.headers !== true)
    throw new OuzelError('NATS_UNSUPPORTED', 'JetStream is not enabled on the server: start nats-server with -js');
}

/** Milliseconds after which a warning that goes on is said again. */
const SAY_AGAIN = 60_000;
/** Warnings told apart at once, at most. */
const MAX_WARNINGS = 50;

/** Says each warning once a minute at most, with the number of times it was not said: an outage repeats them for ever. */
function sparing(say: (message: string) => void): (message: string) => void {
  const known = new Map<string, { at: number; left: number }>();
  return (message) => {
    const now = performance.now();
    const before = known.get(message);
    if (before !== undefined && now - before.at < SAY_AGAIN) return void before.left++;
    if (known.size >= MAX_WARNINGS) known.clear();
    known.set(message, { at: now, left: 0 });
    say(before === undefined || before.left === 0 ? message : `${message} (${before.left} times more since)`);
  };
}

/**
 * Reports what happens to the connection until it is closed.
 *
 * @param denials Hears what the server refuses this user; without it that is said all the same.
 */
export async function watchConnection(
  connection: NatsConnection,
  events: ConnectionEvents,
  denials = new Denials(connection, (message) => events.warning(message)),
): Promise<void> {
  const warn = sparing((message) => events.warning(message));
  let connected = true;
  for await (const status of connection.status()) {
    if (status.type === 'disconnect') {
      // A server that refuses the user ends the connection each time it is tried.
      if (connected) events.disconnected(status.server);
      connected = false;
    } else if (status.type === 'reconnect') {
      connected = true;
      denials.clear();
      events.reconnected(status.server);
    } else if (status.type === 'error') {
      if (status.error instanceof PermissionViolationError) denials.heard(status.error);
      else warn(status.error.message);
    } else if (status.type === 'ldm') events.warning(`${status.server} goes into lame duck mode`);
    else if (status.type === 'staleConnection') events.warning('the connection is stale: no answer to pings');
  }
  denials.clear();
}
