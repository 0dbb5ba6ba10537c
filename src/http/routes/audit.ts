import { z } from 'zod';
import type { AuditSelectors } from '../../audit/query.ts';
import { searchTrail } from '../../audit/search.ts';
import { showRecord, shownRecord } from '../../audit/show.ts';
import { isoTime } from '../../core/time.ts';
import { type ApiRoute, defineRoute, wholeNumber } from '../define.ts';
import type { HttpContext } from '../server.ts';

/** Records that one request shows at most, and where it says nothing. */
const MOST = 1_000;
const SHOWN = 50;
/** Bytes of the trail, compressed, that one request looks through at most. */
const BUDGET = 32 * 2 ** 20;
/** How far back it looks where it does not say. */
const LOOKS_BACK = '24h';

const text = (description: string) => z.string().min(1).optional().describe(description);

/** `/audit`: what `ouzel audit` shows. */
export const audit = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'GET',
    path: '/audit',
    tag: 'audit',
    id: 'listAuditRecords',
    summary: 'Show what became of events',
    needs: {
      scope: 'read',
      narrows: true,
      consumer: ({ query }) => {
        const { consumer } = query as { readonly consumer?: unknown };
        return typeof consumer === 'string' ? consumer : undefined;
      },
    },
    problems: [503],
    query: z.strictObject({
      event: text('Id, key or place (`EVENTS:17`) of an event.'),
      consumer: text('Only of this consumer.'),
      key: text('Only of events with this key.'),
      type: text('Only of these types, separated by commas: `orders.*`.'),
      outcome: z.enum(['delivered', 'filtered', 'dropped', 'dead_lettered']).optional(),
      reason: text('Only with this reason.'),
      since: text('Only recorded after this instant, or so long ago: `2h`. Default: `24h`.'),
      until: text('Only recorded before it.'),
      limit: wholeNumber({ min: 1, max: MOST, preset: SHOWN }),
    }),
    answers: {
      200: {
        description: 'The newest that are meant and the caller may see, the oldest first.',
        schema: z.strictObject({
          records: z.array(shownRecord),
          more: z.boolean().describe('Whether the limit left some out.'),
          looked_from: z
            .string()
            .optional()
            .describe('Before this instant nothing was looked at, since it would have been too much for one request.'),
        }),
      },
    },
    handler: async ({ query: { limit, ...selectors }, actor }) => {
      const given: AuditSelectors = Object.fromEntries(
        Object.entries({ since: LOOKS_BACK, ...selectors }).filter(([, value]) => value !== undefined),
      );
      const { found, more, lookedFrom } = await searchTrail(
        context.deadLetters(),
        context.loaded().config.audit,
        given,
        {
          limit,
          budget: BUDGET,
          permits: ({ consumer, type }) => actor.may('read') || actor.may('read', { consumer, type }),
        },
      );
      const looked = lookedFrom === undefined ? {} : { looked_from: isoTime(lookedFrom) };
      return { status: 200, body: { records: found.map(showRecord), more, ...looked } };
    },
  }),
];
