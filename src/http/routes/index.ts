/** Every resource, one line each. */
import type { RouteModule } from '../server.ts';
import { deadLetters } from './dead-letters.ts';
import { health } from './health.ts';
import { metrics } from './metrics.ts';
import { tap } from './tap.ts';

export const routes: readonly RouteModule[] = [metrics, health, tap, deadLetters];
