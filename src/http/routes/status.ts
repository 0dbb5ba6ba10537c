import { z } from 'zod';
import type { ReloadOutcome } from '../../reconcile/result.ts';
import { RELOAD_RESULTS } from '../../reconcile/result.ts';
import { CONSUMER_STATES } from '../../telemetry/names.ts';
import { VERSION } from '../../version.ts';
import { type ApiRoute, defineRoute } from '../define.ts';
import type { HttpContext } from '../server.ts';

const names = z.array(z.string());

/** How a change of the configuration ended. */
export const reloadSchema = z
  .strictObject({
    result: z.enum(RELOAD_RESULTS),
    at: z.string(),
    hash: z.string().nullable().describe('Of the configuration that was tried; null where it could not be read.'),
    reason: z.string().describe('Why it was rejected; else empty.'),
    changes: z.strictObject({ added: names, updated: names, moved: names, removed: names }).nullable(),
    need_restart: names.describe('Keys that changed and take effect only at the next start.'),
  })
  .meta({ id: 'Reload', description: 'How a change of the configuration ended.' });

const status = z
  .strictObject({
    version: z.string(),
    ready: z.boolean(),
    reasons: names.describe('Why it is not ready.'),
    degraded: z
      .array(z.strictObject({ target: z.string(), error: z.string(), since: z.string() }))
      .describe('Targets that are unavailable. The daemon is ready all the same.'),
    connected: z.boolean().describe('Whether NATS is there.'),
    consumers: z.array(z.strictObject({ name: z.string(), state: z.enum(CONSUMER_STATES), reason: z.string() })),
    config: z.strictObject({
      file: z.string(),
      hash: z.string(),
      generation: z.number().int(),
      last_reload: reloadSchema.nullable(),
      set_aside: z
        .array(z.strictObject({ resource: z.string(), reason: z.string() }))
        .describe('Resources of the fleet that are not in force here as they are stored.'),
    }),
  })
  .meta({ id: 'Status', description: 'What a daemon says of itself.' });

/** @param outcome As the daemon has it. */
export function shownReload(outcome: ReloadOutcome | null): z.input<typeof reloadSchema> | null {
  if (outcome === null) return null;
  const { result, at, hash, reason, changes, needRestart } = outcome;
  return {
    result,
    at,
    hash: hash ?? null,
    reason,
    changes:
      changes === undefined
        ? null
        : {
            added: [...changes.added],
            updated: [...changes.updated],
            moved: [...changes.moved],
            removed: [...changes.removed],
          },
    need_restart: [...needRestart],
  };
}

/** `/status`: what `/readyz` shows, always with 200. */
export const statusRoutes = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'GET',
    path: '/status',
    tag: 'daemon',
    id: 'showStatus',
    summary: 'Show how the daemon is',
    needs: { scope: 'read', narrows: true },
    answers: { 200: { description: 'Its state, whether or not it is ready.', schema: status } },
    handler: async ({ actor }) => {
      const now = context.status();
      const all = actor.may('read');
      return {
        status: 200,
        body: {
          version: VERSION,
          ready: now.ready,
          // Whoever sees some consumers only sees what is said of these.
          reasons: all ? [...now.reasons] : [],
          degraded: all ? now.degraded.map((each) => ({ ...each })) : [],
          connected: now.connected,
          consumers: now.consumers
            .filter(({ name: consumer }) => all || actor.may('read', { consumer }))
            .map((each) => ({ ...each })),
          config: {
            file: now.config.file,
            hash: now.config.hash,
            generation: now.config.generation,
            last_reload: all ? shownReload(now.config.last_reload) : null,
            set_aside: all ? now.config.set_aside.map((each) => ({ ...each })) : [],
          },
        },
      };
    },
  }),
];
