import { z } from 'zod';
import { describeWhen } from '../../sources/schedules/describe.ts';
import { type ApiRoute, defineRoute, nameParam } from '../define.ts';
import { ownerOf, resourceShape, theResource } from '../resources.ts';
import type { HttpContext } from '../server.ts';

const instant = z.iso.datetime();

const schedule = z
  .strictObject({
    name: z.string(),
    owner: resourceShape.owner,
    when: z.string().describe('The cron pattern, `every 15m` or `at 2026-01-31T08:00:00Z`.'),
    timezone: z.string(),
    missed: z.enum(['skip', 'last', 'all']).describe('What becomes of ticks whose time came while nobody was there.'),
    next: instant.nullable().describe('When it ticks next, with its jitter; null: never again.'),
    last: z
      .strictObject({ instant, stream: z.string(), seq: z.number().int() })
      .nullable()
      .describe('The last tick that is in a stream, whichever instance put it there; null where none is known here.'),
    trouble: z
      .strictObject({ code: z.string(), message: z.string() })
      .nullable()
      .describe('Why its ticks are not published now; they are tried again.'),
  })
  .meta({ id: 'Schedule', description: 'A source that ticks, live.' });

const EXAMPLE: z.input<typeof schedule> = {
  name: 'nightly',
  owner: 'file',
  when: '0 3 * * *',
  timezone: 'Europe/Berlin',
  missed: 'last',
  next: '2026-01-03T02:00:00.000Z',
  last: { instant: '2026-01-02T02:00:00.000Z', stream: 'EVENTS', seq: 4711 },
  trouble: null,
};

const iso = (time: number): string => new Date(time).toISOString();

/** `/schedules`: the sources that tick. */
export const schedules = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'GET',
    path: '/schedules',
    tag: 'schedules',
    id: 'listSchedules',
    summary: 'List the schedules, with their next and last ticks',
    needs: { scope: 'read' },
    answers: {
      200: {
        description: 'Those in force on this instance, by name.',
        schema: z.strictObject({ schedules: z.array(schedule) }),
        example: { schedules: [EXAMPLE] },
      },
    },
    handler: () => Promise.resolve({ status: 200 as const, body: { schedules: shown(context) } }),
  }),
  defineRoute({
    method: 'POST',
    path: '/schedules/{name}/fire',
    tag: 'schedules',
    id: 'fireSchedule',
    summary: 'Publish a tick of a schedule now',
    description:
      'One more, with `schedule.fired` true and an id of its own: those that are to come stay as they are. Where the configuration gives the `id`, that holds here too.',
    needs: { scope: 'operate', write: true, what: 'schedule.fire' },
    problems: [404, 422, 503, 504],
    params: z.strictObject({ name: nameParam('Of the schedule.') }),
    answers: {
      200: {
        description: 'Where it is.',
        schema: z.strictObject({
          stream: z.string(),
          seq: z.number().int(),
          duplicate: z.boolean().describe('Whether the stream had one of this id already, and stored nothing.'),
        }),
      },
    },
    handler: async ({ params: { name }, raw }) => {
      raw.act = { what: 'schedule.fire', resource: `sources/${name}` };
      theResource(context, { section: 'sources', name });
      const { stream, sequence, duplicate } = await context.schedules.fire(name);
      return { status: 200, body: { stream, seq: sequence, duplicate } };
    },
  }),
];

function shown(context: HttpContext): z.input<typeof schedule>[] {
  const { config, redact } = context.loaded();
  return Object.entries(config.sources)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, { schedule: options }]) => {
      if (options === undefined) return [];
      const { next, last, trouble } = context.schedules.state(name) ?? {};
      const { timezone, missed } = options;
      return {
        name,
        owner: ownerOf(context, { section: 'sources', name }),
        when: describeWhen(options),
        timezone,
        missed,
        next: next === undefined ? null : iso(next),
        last: last === undefined ? null : { instant: iso(last.instant), stream: last.stream, seq: last.sequence },
        trouble: trouble === undefined ? null : { code: trouble.code, message: redact(trouble.message) },
      };
    });
}
