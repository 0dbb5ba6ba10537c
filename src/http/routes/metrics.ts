import { createRegistry } from '../../telemetry/expose.ts';
import type { RouteModule } from '../server.ts';

/** `/metrics` in the Prometheus text format. */
export const metrics: RouteModule = (app, context) => {
  const registry = createRegistry(context.metrics, () => context.refresh());
  app.get('/metrics', { config: { open: true } }, async (_request, reply) =>
    reply.type(registry.contentType).send(await registry.metrics()),
  );
};
