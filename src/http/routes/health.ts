import type { RouteModule } from '../server.ts';

/** `/healthz`: the loop turns. `/readyz`: events are taken, else 503 with the reasons. */
export const health: RouteModule = (app, { status }) => {
  app.get('/healthz', { config: { open: true } }, () => ({ status: 'ok' }));
  app.get('/readyz', { config: { open: true } }, (_request, reply) => {
    const { ready, ...details } = status();
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'unavailable', ...details });
  });
};
