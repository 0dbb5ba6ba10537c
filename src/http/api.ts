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
      const { method, path, router, needs, body, bodyLimit = BODY_LIMIT } = route;
      const url = API + (router ?? path.replaceAll(/\{(\w+)\}/g, ':$1'));
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
  const methodsOf = methodTable(routes);
  const notFound = (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const [path = ''] = request.url.split('?', 1);
    const allowed = methodsOf(path);
    // A parameter that does not look like one is one that is not there.
    if (allowed.length === 0 || allowed.includes(request.method))
      return sendProblem(reply, 404, 'NOT_FOUND', `there is nothing at ${path.slice(0, SHOWN)}`);
    reply.header('allow', allowed.join(', '));
    return sendProblem(reply, 405, 'USAGE', `${path} has no ${request.method}; it has ${allowed.join(', ')}`);
  };
  app.setNotFoundHandler(notFound);
  // Of what nobody answers, nothing else that is wrong matters.
  app.setErrorHandler((error, request, reply) => (request.is404 ? notFound(request, reply) : sendError(reply, error)));
}

/** Characters of a path that are said back. */
const SHOWN = 200;

/** What methods a path has. One that is written out goes before one with a parameter, as in the router. */
function methodTable(routes: readonly ApiRoute[]): (path: string) => readonly string[] {
  const methods = Map.groupBy(routes, ({ path }) => API + path);
  const table = [...methods].map(([path, of]) => ({
    path,
    pattern: new RegExp(`^${path.replaceAll('.', String.raw`\.`).replaceAll(/\{\w+\}/g, '[^/]+')}$`),
    methods: of.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method])),
  }));
  return (path) =>
    (table.find((each) => each.path === path) ?? table.find(({ pattern }) => pattern.test(path)))?.methods ?? [];
}

/** What Fastify finds wrong before there is a route: a path that cannot be decoded. */
export const answerFrameworkError = (error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void => {
  sendError(reply, error);
};
