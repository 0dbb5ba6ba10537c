/** Where a request comes from, as far as that can be known. */
import type { FastifyRequest } from 'fastify';

type Request = Pick<FastifyRequest, 'socket' | 'headers'>;

const LOOPBACK_ADDRESS = /^(?:::1|(?:::ffff:)?127\.\d+\.\d+\.\d+)$/;
const LOOPBACK_HOST = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/i;

/** Headers by which a proxy says that somebody else asks. */
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'via'];

/** Whether an address to listen on is of this machine alone. */
export const isLoopbackHost = (host: string): boolean => host === 'localhost' || LOOPBACK_ADDRESS.test(host);

/** The address at the other end of the connection. What a proxy says beside it is not believed. */
export const addressOf = ({ socket }: Request): string => socket.remoteAddress ?? '';

/** Why a request does not come from this machine as it says itself, or undefined when it does. */
export function remoteReason(request: Request): string | undefined {
  const { headers } = request;
  if (!LOOPBACK_ADDRESS.test(addressOf(request))) return 'it does not come from the loopback address';
  if (FORWARDED.some((name) => headers[name] !== undefined)) return 'it comes through a proxy';
  // A page of somewhere else, whose name was made to lead here, has a browser on this machine ask.
  if (!LOOPBACK_HOST.test(headers.host ?? '')) return `the Host ${headers.host ?? ''} is not this machine`;
  return undefined;
}

/** Why a browser asks on behalf of another site, or undefined when none does. */
export function foreignOrigin({ headers }: Request): string | undefined {
  const { origin, host } = headers;
  if (origin === undefined) return undefined;
  const url = URL.parse(origin);
  // The scheme is not compared: TLS may end before this process. `URL` leaves a default port out, `Host` may not.
  if (url !== null && host !== undefined && url.host === withoutDefaultPort(url.protocol, host)) return undefined;
  return `the Origin ${origin} is another`;
}

const withoutDefaultPort = (protocol: string, host: string): string => URL.parse(`${protocol}//${host}`)?.host ?? host;
