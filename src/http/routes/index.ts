/** Every resource, one line each. */
import type { ApiRoute } from '../define.ts';
import type { HttpContext, RouteModule } from '../server.ts';
import { audit } from './audit.ts';
import { config } from './config.ts';
import { consumers } from './consumers.ts';
import { deadLetters } from './dead-letters.ts';
import { documentRoutes } from './document.ts';
import { events } from './events.ts';
import { health } from './health.ts';
import { metrics } from './metrics.ts';
import { replays } from './replays.ts';
import { resources } from './resources.ts';
import { rollback } from './rollback.ts';
import { schedules } from './schedules.ts';
import { statusRoutes } from './status.ts';
import { tap } from './tap.ts';
import { targets } from './targets.ts';
import { timers } from './timers.ts';
import { testDeliveries } from './test-delivery.ts';

/** What is no part of the API. */
export const routes: readonly RouteModule[] = [metrics, health];

const RESOURCES: readonly ((context: HttpContext) => ApiRoute[])[] = [
  consumers,
  timers,
  resources,
  testDeliveries,
  targets,
  config,
  rollback,
  events,
  deadLetters,
  replays,
  audit,
  schedules,
  tap,
  statusRoutes,
];

/** All routes of the API, and the document of them. */
export function apiRoutes(context: HttpContext): ApiRoute[] {
  const all = RESOURCES.flatMap((resource) => resource(context));
  return [...all, ...documentRoutes(all)];
}
