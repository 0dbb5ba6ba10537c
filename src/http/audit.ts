/** Hands each write to the audit, carried out or not, before its answer is sent. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ActOutcome, Acts } from '../audit/acts.ts';
import { Attempts } from './auth/attempts.ts';
import { addressOf } from './auth/origin.ts';

/** Refusals of one address that are recorded at once, milliseconds until one more, addresses remembered. */
const REFUSED = { burst: 20, every: 3_000, addresses: 10_000 };
/** The same of all addresses together. */
const REFUSED_ALL = { burst: 200, every: 300, addresses: 1 };
/** Not allowed, or not as things are. What HTTP itself finds wrong (400, 404, 413, 415) asked for nothing. */
const REFUSALS: ReadonlySet<number> = new Set([401, 403, 409, 412, 422]);
const MAX_TEXT = 200;

/** Adds the hook. It has to be added before the routes are. */
export function auditWrites(app: FastifyInstance, acts: Acts): void {
  const byAddress = new Attempts(REFUSED);
  const all = new Attempts(REFUSED_ALL);

  app.addHook('onSend', async (request, reply, payload) => {
    const { needs } = request.routeOptions.config;
    if (needs?.write !== true) return payload;
    const { statusCode: status } = reply;
    const outcome = outcomeOf(status);
    const { act } = request;
    if (outcome === undefined || (outcome === 'done' && act?.dryRun === true)) return payload;
    const from = addressOf(request);
    if (outcome !== 'done') {
      const now = performance.now();
      if (byAddress.take(from, now) > 0 || all.take('', now) > 0) {
        acts.leftOut();
        return payload;
      }
    }
    await acts.record({
      who: (request.actor as typeof request.actor | null)?.name ?? null,
      from,
      forwarded_for: forwardedFor(request),
      what: act?.what ?? needs.what ?? `request.${request.method.toLowerCase()}`,
      resource: act?.resource ?? (request.url.split('?')[0] ?? '').slice(0, MAX_TEXT),
      before: act?.before,
      after: act?.after,
      outcome,
      status,
      code: outcome === 'done' ? undefined : codeOf(payload),
    });
    return payload;
  });
}

function outcomeOf(status: number): ActOutcome | undefined {
  if (status < 400) return 'done';
  if (status >= 500) return 'failed';
  return REFUSALS.has(status) ? 'refused' : undefined;
}

function forwardedFor({ headers }: FastifyRequest): string | undefined {
  const value = headers['x-forwarded-for'] ?? headers['forwarded'];
  return value === undefined ? undefined : String(value).slice(0, MAX_TEXT);
}

/** The code of problem details. */
function codeOf(payload: unknown): string | undefined {
  if (typeof payload !== 'string') return undefined;
  try {
    const { code } = JSON.parse(payload) as { readonly code?: unknown };
    return typeof code === 'string' ? code : undefined;
  } catch {
    return undefined;
  }
}
