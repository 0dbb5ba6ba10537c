/** Puts the routes of the API on the listener: their bodies, their errors, and what there is beside them. */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { API, type ApiRoute } from './define.ts';
import { HttpError, sendError, sendProblem } from './problem.ts';

/** Bytes of a body, at most, unless a route says otherwise. */
const BODY_LIMIT = 1024 * 1024;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Adds all routes of the API. */
export function mountApi(app: FastifyInstance, routes: readonly ApiRoute[]): void {
  app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    // Bodies are read as they are: what a resource says is kept as it was given.
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, parsed) => {
      try {
        parsed(null, received(request, body as Buffer));
      } catch (error) {
        parsed(error as FastifyError);
      }
    });
    for (const route of routes) {
      const { method, path, needs, body, bodyLimit = BODY_LIMIT } = route;
      const url = API + path.replaceAll(/\{(\w+)\}/g, ':$1');
      const media = body === undefined ? [] : (body.media ?? ['application/json']);
      scope.route({
        method,
        url,
        bodyLimit,
        config: { needs, media },
        handler: (request, reply) => route.handle(request, reply),
      });
    }
    done();
  });
}

function received(request: FastifyRequest, body: Buffer): { media: string; text: string } | undefined {
  if (body.length === 0) return undefined;
  const media = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const { media: known = [] } = request.routeOptions.config;
  if (known.length === 0) throw new HttpError(400, 'this takes no body');
  if (!known.includes(media))
    throw new HttpError(415, `the body is ${media === '' ? 'of no type' : media}; this reads ${known.join(', ')}`);
  try {
    return { media, text: utf8.decode(body) };
  } catch {
    throw new HttpError(400, 'the body is not UTF-8');
  }
}

/** Lets every error of the listener be problem details, that of a path or method which nobody answers included. */
export function answerProblems(app: FastifyInstance, routes: readonly ApiRoute[]): void {
  app.setErrorHandler((error, _request, reply) => sendError(reply, error));
  const known = routes.map(({ method, path }) => ({
    method,
    pattern: new RegExp(`^${API}${path.replaceAll('.', String.raw`\.`).replaceAll(/\{\w+\}/g, '[^/]+')}$`),
  }));
  app.setNotFoundHandler((request, reply) => {
    const [path = ''] = request.url.split('?', 1);
    const methods = known.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
    if (methods.length === 0) return sendProblem(reply, 404, 'NOT_FOUND', `there is nothing at ${path}`);
    const allowed = [...new Set(methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])))];
    reply.header('allow', allowed.join(', '));
    return sendProblem(reply, 405, 'USAGE', `${path} has no ${request.method}; it has ${allowed.join(', ')}`);
  });
}

/** What Fastify finds wrong before there is a route: a path that cannot be decoded. */
export const answerFrameworkError = (error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void => {
  sendError(reply, error);
};
