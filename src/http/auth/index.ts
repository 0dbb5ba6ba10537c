/** Before a handler runs: who asks is known, and may do what the route needs. Nothing is answered that says neither. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { sendProblem } from '../problem.ts';
import { type Authenticator, missingRight, type Refusal } from './authenticate.ts';

/** Headers of a request, at most. */
const MAX_HEADERS = 100;

/** Sees to it that every route of the server, also those that are added later, is guarded. */
export function guard(app: FastifyInstance, authenticator: Authenticator): void {
  app.decorateRequest('actor', null as never);
  app.decorateRequest('act', undefined);

  app.addHook('onRoute', ({ config, method, url }) => {
    if ((config?.open === true) === (config?.needs !== undefined))
      throw new Error(`${String(method)} ${url} has to say either \`needs\` or \`open\``);
    if (config?.needs?.write === true && config.needs.scope === 'read')
      throw new Error(`${String(method)} ${url} writes, which \`read\` does not allow`);
  });

  app.addHook('onRequest', async (request, reply) => {
    // Node would leave out what is beyond a limit of its own, and a header that is left out (that a proxy put there)
    // would make a request look as if it came from this machine.
    if (request.raw.rawHeaders.length > 2 * MAX_HEADERS)
      return sendProblem(reply.header('connection', 'close'), 431, 'USAGE', `more than ${MAX_HEADERS} headers`);
    const { config } = request.routeOptions;
    if (config?.open === true) return undefined;
    const caller = await authenticator.identify(request);
    if ('status' in caller) return refuse(request, reply, caller);
    request.actor = caller;
    // A path that is not there needs no right, but nor does it tell a stranger so.
    if (config?.needs === undefined) return undefined;
    const { needs } = config;
    const about = { consumer: needs.consumer?.(request), type: needs.type?.(request) };
    const missing = missingRight(caller, needs, about);
    return missing === undefined ? undefined : refuse(request, reply, missing);
  });
}

function refuse({ headers }: FastifyRequest, reply: FastifyReply, refusal: Refusal): FastifyReply {
  const { status, code, detail } = refusal;
  // A body that comes behind it is not waited for.
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined)
    reply.header('connection', 'close');
  return sendProblem(reply.headers(refusal.headers), status, code, detail);
}
