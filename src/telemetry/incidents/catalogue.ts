/**
 * The kinds of incident: what Ouzel says about itself in the stream OUZEL_EVENTS. A kind, its fields and their names are
 * public surface; `docs/reference/incidents.md` is generated from this table.
 */
import { z } from 'zod';

export const INCIDENT_STREAM = 'OUZEL_EVENTS';
/** Incidents are on the subject of this prefix and their type. */
export const INCIDENT_PREFIX = 'ouzel.events.';
export const INCIDENT_SUBJECTS = `${INCIDENT_PREFIX}>`;
/** Names the consumers that an incident is about, separated by commas. It never reaches them. */
export const CONCERNS_HEADER = 'Ouzel-Concerns';

const instance = z.string().describe('The process that says so: its host and an id that is new at each start.');
const consumer = z.string().describe('The consumer that it is about.');
const code = z.string().describe('The code of the error, as in the reference of errors.');
const error = z.string().describe('What the error says; secrets are taken out.');
const target = z.string().optional().describe('The target that said no; left out where a stage before it failed.');
const since = z.iso.datetime().meta({ strings: 'instant' }).describe('When it began (RFC 3339).');
const lasted = z.number().describe('Seconds from then on.');

const example = z
  .strictObject({
    stream: z.string().describe('Its stream.'),
    subject: z.string().describe('Its subject.'),
    sequence: z.number().int().describe('Its number in the stream.'),
    key: z.string().optional().describe("Its key, where the stream's `key` finds one."),
  })
  .describe('One of the events, to look at: `ouzel explain STREAM:SEQUENCE`.');

const of = <Shape extends z.ZodRawShape>(shape: Shape) => z.strictObject({ instance, ...shape });

const INSTANCE = 'edge-1-5f0c9a1e';
const EVENT = { stream: 'EVENTS', subject: 'events.orders.created', sequence: 4711, key: 'o-17' };
const CAUSE = { code: 'TARGET_REJECTED', error: 'POST https://partner.example/in: 422', target: 'partner' };
const BEGAN = '2026-01-02T03:04:05.006Z';

export const INCIDENTS = {
  'consumer.failing': {
    summary: 'As many attempts of a consumer failed within `failing.within` as `failing.errors` says. Said once.',
    data: of({
      consumer,
      errors: z.number().int().describe('Attempts that failed within that time.'),
      dead_lettered: z.number().int().describe('How many of them ended as dead letters.'),
      within_s: z.number().describe('`failing.within`, in seconds.'),
      since,
      code,
      error,
      target,
      event: example,
    }),
    example: {
      instance: INSTANCE,
      consumer: 'billing',
      errors: 10,
      dead_lettered: 2,
      within_s: 300,
      since: BEGAN,
      ...CAUSE,
      event: EVENT,
    },
  },
  'consumer.recovered': {
    summary:
      'A consumer of which `consumer.failing` was said handles its events again, and fewer attempts fail than that.',
    data: of({
      consumer,
      since,
      lasted_s: lasted,
      errors: z.number().int().describe('Attempts that failed in all.'),
      dead_lettered: z.number().int().describe('How many of them ended as dead letters.'),
    }),
    example: { instance: INSTANCE, consumer: 'billing', since: BEGAN, lasted_s: 642, errors: 151, dead_lettered: 30 },
  },
  dead_letter: {
    summary:
      'Events went into the dead letters. For each consumer and reason the first is said at once; after it at most one a minute, with the number of those since.',
    data: of({
      consumer,
      reason: z.string().describe('Why, as in `ouzel_events_total` and `ouzel dlq list`.'),
      count: z.number().int().describe('How many since the last one of this kind.'),
      since,
      code,
      error,
      target,
      event: example,
    }),
    example: {
      instance: INSTANCE,
      consumer: 'billing',
      reason: 'rejected',
      count: 37,
      since: BEGAN,
      ...CAUSE,
      event: EVENT,
    },
  },
  'dead_letters.discarded': {
    summary: 'Somebody deleted dead letters. Stored before the letters are deleted.',
    data: of({
      who: z.string().describe('Who did it.'),
      why: z.string().describe('The reason that was given.'),
      count: z.number().int().describe('How many letters.'),
      consumers: z.array(z.string()).describe('Whose letters they were.'),
      letters: z.array(z.number().int()).describe('Their numbers in OUZEL_DLQ.'),
      events: z
        .array(
          z.strictObject({
            letter: z.number().int(),
            consumer: z.string(),
            reason: z.string(),
            stream: z.string(),
            subject: z.string(),
            sequence: z.number().int(),
            key: z.string().optional(),
          }),
        )
        .describe('What each of them was: its letter, consumer and reason, and where the event stood.'),
    }),
    example: {
      instance: INSTANCE,
      who: 'ada@edge-1',
      why: 'test orders',
      count: 1,
      consumers: ['billing'],
      letters: [7],
      events: [{ letter: 7, consumer: 'billing', reason: 'rejected', ...EVENT }],
    },
  },
  'target.unavailable': {
    summary: 'A target is not there. Events for it wait.',
    data: of({
      target: z.string().describe('The target.'),
      consumers: z.array(z.string()).describe('The consumers that deliver to it.'),
      code,
      error,
    }),
    example: {
      instance: INSTANCE,
      target: 'partner',
      consumers: ['billing'],
      code: 'TARGET_UNAVAILABLE',
      error: 'POST https://partner.example/in: 503',
    },
  },
  'target.disabled': {
    summary:
      'A webhook answered 410 Gone. Nothing is sent there any more, on all instances, and events for it wait, until its configuration changes or somebody enables it.',
    data: of({
      target: z.string().describe('The target.'),
      consumers: z.array(z.string()).describe('The consumers that deliver to it.'),
      code,
      error,
    }),
    example: {
      instance: INSTANCE,
      target: 'partner',
      consumers: ['billing'],
      code: 'TARGET_GONE',
      error: 'POST https://partner.example: answered 410 Gone',
    },
  },
  'target.recovered': {
    summary: 'A target that was not there takes events again.',
    data: of({
      target: z.string().describe('The target.'),
      consumers: z.array(z.string()).describe('The consumers that deliver to it.'),
      since,
      lasted_s: lasted,
    }),
    example: { instance: INSTANCE, target: 'partner', consumers: ['billing'], since: BEGAN, lasted_s: 1220 },
  },
  'schedule.failing': {
    summary: 'The ticks of a schedule are not published. Said once, by each instance that finds it.',
    data: of({
      source: z.string().describe('The schedule.'),
      subject: z.string().describe('Where its ticks go, as it is configured.'),
      code,
      error,
    }),
    example: {
      instance: INSTANCE,
      source: 'nightly',
      subject: 'events.reports.due',
      code: 'TARGET_NO_STREAM',
      error: 'the stream of events.reports.due: no stream takes events.reports.due',
    },
  },
  'schedule.recovered': {
    summary: 'The ticks of a schedule of which `schedule.failing` was said are published again.',
    data: of({ source: z.string().describe('The schedule.'), since, lasted_s: lasted }),
    example: { instance: INSTANCE, source: 'nightly', since: BEGAN, lasted_s: 642 },
  },
  'reload.rejected': {
    summary: 'A changed configuration was refused; what was in force still is. Said once for each reason.',
    data: of({
      config: z.string().describe('The file.'),
      hash: z.string().optional().describe('Hash of what was refused, where it could be read.'),
      in_force: z.string().describe('Hash of what is in force.'),
      error: z.string().describe('The mistakes, with their places; secrets are taken out.'),
    }),
    example: {
      instance: INSTANCE,
      config: '/etc/ouzel/ouzel.yaml',
      in_force: '0d4f6c1b9a3e',
      error: 'ouzel.yaml:7:5 CONFIG_UNKNOWN_KEY unknown key "delivr"',
    },
  },
  'daemon.started': {
    summary: 'A process is ready: its consumers run, or it is known why not.',
    data: of({
      version: z.string().describe('The version of Ouzel.'),
      config: z.string().describe('The file of its configuration.'),
      hash: z.string().describe('Hash of its configuration.'),
      consumers: z.record(z.string(), z.string()).describe('The state of each consumer, as in `ouzel_consumer_state`.'),
    }),
    example: {
      instance: INSTANCE,
      version: '0.1.0',
      config: '/etc/ouzel/ouzel.yaml',
      hash: '0d4f6c1b9a3e',
      consumers: { billing: 'running' },
    },
  },
  'daemon.stopping': {
    summary: 'A process begins to drain.',
    data: of({
      version: z.string().describe('The version of Ouzel.'),
      reason: z.string().describe('Why: the signal that it got.'),
      uptime_s: z.number().describe('Seconds since it started.'),
    }),
    example: { instance: INSTANCE, version: '0.1.0', reason: 'SIGTERM', uptime_s: 86400 },
  },
} as const satisfies Record<string, { summary: string; data: z.ZodObject; example: object }>;

export type IncidentKind = keyof typeof INCIDENTS;

/** What an incident of this kind says, less the instance, which whoever publishes adds. */
export type IncidentData<Kind extends IncidentKind> = Omit<z.output<(typeof INCIDENTS)[Kind]['data']>, 'instance'>;
