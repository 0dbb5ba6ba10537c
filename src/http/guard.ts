/** Who may ask for what is not public. There are no credentials yet: who sits at the machine. */
import type { FastifyRequest } from 'fastify';

const LOOPBACK_ADDRESS = /^(?:::1|(?:::ffff:)?127\.\d+\.\d+\.\d+)$/;
const LOOPBACK_HOST = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/i;

/** Headers by which a proxy says that somebody else asks. */
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];

/**
 * Why a request is refused that is for this machine alone, or undefined when it is not. The address says where it comes
 * from; `Host` and `Origin` say whether a page of somewhere else made a browser on this machine ask.
 */
export function localProblem({ socket, headers }: Pick<FastifyRequest, 'socket' | 'headers'>): string | undefined {
  if (!LOOPBACK_ADDRESS.test(socket.remoteAddress ?? '')) return 'this is answered on the loopback address only';
  if (FORWARDED.some((name) => headers[name] !== undefined)) return 'this is not answered through a proxy';
  if (!LOOPBACK_HOST.test(headers.host ?? '')) return `the Host ${headers.host ?? ''} is not this machine`;
  const { origin } = headers;
  if (origin !== undefined && origin !== `http://${headers.host}`) return `the Origin ${origin} is another`;
  return undefined;
}
