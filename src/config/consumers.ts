import { z } from 'zod';
import { filters as filterComponents } from '../pipeline/filters/index.ts';
import { transformers as transformerComponents } from '../pipeline/transformers/index.ts';
import { optionalShape, present } from './components.ts';
import { retryOverride } from './defaults.ts';
import { duration, expression, instant, literal, name, named, subject } from './fields.ts';
import { count } from './flow/count.ts';
import { debounce } from './flow/debounce.ts';
import { dedupe } from './flow/dedupe.ts';
import { delay } from './flow/delay.ts';
import { expire } from './flow/expire.ts';
import { rateLimit, throttle } from './flow/limits.ts';
import { lanes } from './flow/lanes.ts';
import { priority } from './flow/priority.ts';
import { onDeadLetter, orderBy } from './flow/order.ts';
import { group } from './flow/group.ts';
import { alone, PLUGIN_KEY } from './plugins.ts';
import { refuse } from './refuse.ts';
import { target } from './targets.ts';
import { transformerShape } from './transformers.ts';

const start = z.union([
  z.enum(['new', 'all', 'last']),
  z
    .strictObject({
      time: instant().optional().describe('The first message at or after this instant (RFC 3339).'),
      sequence: z.number().int().min(1).optional().describe('The message with this number in the stream.'),
    })
    .superRefine((value, context) => {
      const given = Object.keys(value).length;
      if (given !== 1) refuse(context, 'it starts at one point', 'write {time: …} or {sequence: …}');
    }),
]);

/** A stage written where it is used: one filter, or a transformer. */
const inlineStage = z
  .strictObject({ ...optionalShape(filterComponents), ...transformerShape })
  .superRefine((value, context) => {
    const components = [...filterComponents, ...transformerComponents];
    present(value, context, [...components, PLUGIN_KEY], 'at least one');
    alone(
      value,
      context,
      components.map(({ name: key }) => key),
    );
    const filters = filterComponents.filter(({ name: key }) => Object.hasOwn(value, key));
    if (filters.length > 0 && Object.keys(value).length > 1 && !Object.hasOwn(value, 'plugin'))
      refuse(context, 'a filter stands alone', 'write two entries, in the order in which they apply');
  });

const route = z
  .strictObject({
    name: name()
      .optional()
      .describe('Name of the route, in metrics and dead letters. Default: the name of its target, or of its kind.'),
    when: expression('delivery').optional().describe('Taken only where this is true. A missing field counts as false.'),
    stop: z.boolean().default(false).describe('No entry after this one is looked at when this one is taken.'),
    else: z.boolean().default(false).describe('Taken only if no other entry is.'),
    to: z
      .union([literal(), target])
      .describe('The name of a target, of a kind of target that needs no options (`log`), or a target written here.'),
  })
  .superRefine((value, context) => {
    if (value.else && value.when !== undefined)
      refuse(context, 'else and when cannot stand together', 'else is taken if no other entry is: leave one out', [
        'else',
      ]);
    if (typeof value.to === 'object' && value.to.throttle !== undefined)
      refuse(
        context,
        'a target that is written where it is used is delivered to by this consumer alone',
        'throttle the consumer, or write the target under `targets`, where all who deliver to it share the throttle',
        ['to', 'throttle'],
      );
  });

const consumer = z
  .strictObject({
    stream: literal().describe(
      'The stream to take events from: one of `streams`, one that is on the server, or OUZEL_EVENTS for what Ouzel says about itself.',
    ),
    types: z
      .array(literal())
      .min(1)
      .optional()
      .describe('Types to take; `*` stands for one part, `>` at the end for the rest. Default: all.'),
    subjects: z.array(subject()).min(1).optional().describe('Subjects to take. Default: all of the stream.'),
    start: start
      .default('new')
      .describe('Where to begin when the durable is first made: new, all, last, {time: …} or {sequence: …}.'),
    lanes,
    expire,
    dedupe,
    priority,
    order_by: orderBy,
    on_dead_letter: onDeadLetter,
    concurrency: z
      .strictObject({
        max: z.number().int().min(1).max(100_000).describe('Events in work at once, at most.'),
        by: expression().optional().describe('So many for each value of this. All events without the field share one.'),
      })
      .optional()
      .describe('How much is done at once.'),
    pipeline: z
      .array(z.union([literal(), inlineStage]))
      .default([])
      .describe(
        'Filters and transformers in order: names, or written here (`{filter: …}`, `{set: …}`, `{plugin: …}`).',
      ),
    rate_limit: rateLimit,
    count,
    debounce,
    delay,
    group,
    throttle: throttle('deliveries'),
    deliver: z
      .array(route)
      .min(1)
      .optional()
      .describe(
        'Where events go: every entry whose `when` holds. Without it events are processed and delivered nowhere.',
      ),
    ack_wait: duration({ min: 1000, max: 86_400_000 })
      .optional()
      .describe(
        'When the server delivers again what this process does not answer for (a crash). Default: 30s; 10s for a consumer that runs on one instance at a time (`order_by`, `group.by`, `concurrency.by`).',
      ),
    prefetch: z.number().int().min(1).max(100_000).default(2000).describe('Events fetched ahead, at most.'),
    timeout: duration().optional().describe('How long one attempt at an event may take. Default: `defaults.timeout`.'),
    retry: retryOverride().describe('What happens when an event fails, where it differs from `defaults`.'),
    failing: z
      .strictObject({
        errors: z.number().int().min(1).max(10_000).default(10).describe('Attempts that fail, at least.'),
        within: duration({ min: 1000, max: 86_400_000 }).default(300_000).describe('The time within which they do.'),
      })
      .prefault({})
      .describe('When the consumer counts as failing: an incident says so, and another one that it recovered.'),
    paused: z.boolean().default(false).describe('Takes no events for now; the durable stays.'),
    adopt: z.boolean().default(false).describe('Takes over a durable of this name that Ouzel did not make.'),
    on_remove: z
      .enum(['keep', 'delete'])
      .default('keep')
      .describe('What becomes of the durable when the consumer leaves the configuration.'),
  })
  .superRefine((value, context) => {
    if (value.on_dead_letter === 'hold' && value.order_by === undefined)
      refuse(context, 'there is no key to hold', 'say order_by too, or leave on_dead_letter out', ['on_dead_letter']);
  });

export const consumers = named(consumer)
  .prefault({})
  .describe('Consumers: what is taken, what is done with it, where it goes.');

export type ConsumerConfig = z.output<typeof consumer>;
export type StageConfig = ConsumerConfig['pipeline'][number];
export type RouteConfig = z.output<typeof route>;
