/** The HTTP endpoint that `webhook` targets deliver to: it enters what it took in the ledger, and fails when told to. */
import { type HttpAnswer, type HttpRequest, type HttpTarget, startHttpTarget } from '../helpers/http-target.ts';
import type { Ledger } from './ledger.ts';

/**
 * - `ok`: takes the event. `down`: nobody listens.
 * - `failing`: answers 500 and takes nothing. `busy`: the same with 503 and a `Retry-After`.
 * - `hanging`: takes nothing, and the answer never comes.
 * - `trickling`: takes the event, and its answer never ends. `forgetful`: takes the event, and resets the connection.
 */
export type HookMode = 'ok' | 'down' | 'failing' | 'busy' | 'hanging' | 'trickling' | 'forgetful';

export interface Hook {
  readonly url: string;
  set(mode: HookMode): Promise<void>;
  stop(): Promise<void>;
}

const NOTHING_TAKEN: Partial<Record<HookMode, HttpAnswer>> = {
  failing: { status: 500, body: 'out of order' },
  busy: { status: 503, headers: { 'retry-after': '2' }, body: 'too busy' },
  hanging: { fault: 'hang' },
};
const TAKEN: Partial<Record<HookMode, HttpAnswer>> = {
  trickling: { fault: 'trickle' },
  forgetful: { fault: 'reset' },
};

export async function startHook(ledger: Ledger): Promise<Hook> {
  let mode: HookMode = 'ok';
  const refused = new Set<string>();
  const answer = ({ body, headers }: HttpRequest): HttpAnswer => {
    const nothing = NOTHING_TAKEN[mode];
    if (nothing !== undefined) return nothing;
    const { id } = JSON.parse(body) as { id: string };
    // Every tenth event is refused once.
    if (Number(id.slice(2)) % 10 === 0 && !refused.has(id)) {
      refused.add(id);
      return { status: 403, body: 'not yet' };
    }
    ledger.effect({ consumer: 'hook', route: 'service', event: id, id: String(headers['webhook-id'] ?? '') });
    return TAKEN[mode] ?? {};
  };
  const target: HttpTarget = await startHttpTarget(answer);
  return {
    url: target.url,
    set: async (next) => {
      const before = mode;
      mode = next;
      if (next === 'down') await target.stop();
      else if (before === 'down') await target.start();
    },
    stop: async () => target[Symbol.asyncDispose](),
  };
}
