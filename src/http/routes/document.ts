import { z } from 'zod';
import { type ApiRoute, defineRoute } from '../define.ts';
import { openApiDocument } from '../openapi.ts';

/** `/openapi.json`: what there is, made of all the routes, this one included. */
export function documentRoutes(others: readonly ApiRoute[]): ApiRoute[] {
  let document: Readonly<Record<string, unknown>> | undefined;
  const own: ApiRoute = defineRoute({
    method: 'GET',
    path: '/openapi.json',
    tag: 'daemon',
    id: 'showOpenApi',
    summary: 'Show this document',
    needs: { scope: 'read', narrows: true },
    answers: {
      200: { description: 'OpenAPI 3.1.', schema: z.looseObject({ openapi: z.string() }) },
    },
    handler: async () => {
      document ??= openApiDocument([...others, own]);
      return { status: 200, body: document as { openapi: string } };
    },
  });
  return [own];
}
