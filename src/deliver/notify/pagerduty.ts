import { createHash } from 'node:crypto';
import { z } from 'zod';
import { expression, template } from '../../config/fields.ts';
import { condition } from '../../pipeline/faults.ts';
import { render } from '../outgoing.ts';
import { httpService, serviceUrl } from './http.ts';
import { defineService, type Note } from './service.ts';
import { bodyOf, cleanLine, cut, headlineOf } from './text.ts';

/** Characters of a summary, of a key, and of the details. */
const LONGEST_SUMMARY = 1024;
const LONGEST_KEY = 255;
const LONGEST_DETAILS = 20_000;

/** A key that is too long is stood for by its hash: half of it could be that of another. */
const keyOf = (text: string): string =>
  text.length <= LONGEST_KEY ? text : createHash('sha256').update(text).digest('hex');

function summaryOf(note: Note): string {
  const more = note.tail === undefined ? '' : ` (${note.tail})`;
  return cut(headlineOf(note), LONGEST_SUMMARY - more.length) + more;
}

/** PagerDuty, by the Events API v2. */
export const pagerduty = defineService({
  name: 'pagerduty',
  summary: 'PagerDuty, by the Events API v2: triggers alerts, and resolves them.',
  example:
    '{ routing_key: x, dedup_key: "{{ event.data.consumer }}", resolve: \'event.type == "consumer.recovered"\' }',
  options: z
    .strictObject({
      routing_key: z.string().min(1).describe('Integration key of the service.'),
      severity: z.enum(['critical', 'error', 'warning', 'info']).default('error').describe('How bad it is.'),
      dedup_key: template()
        .optional()
        .describe('Key of the alert: events of one key are one alert. Default: each event is an alert of its own.'),
      resolve: expression()
        .optional()
        .describe('Where it is true, the alert of this key is resolved. Such an event is never held back.'),
      url: serviceUrl('The Events API; https://events.eu.pagerduty.com/v2/enqueue in Europe.').default(
        'https://events.pagerduty.com/v2/enqueue',
      ),
    })
    .superRefine(({ dedup_key: key, resolve }, context) => {
      if (resolve === undefined || key !== undefined) return;
      const params = { code: 'CONFIG_MISSING_KEY', hint: 'add `dedup_key`: which alert it resolves' } as const;
      context.addIssue({ code: 'custom', path: ['resolve'], message: '`resolve` needs a `dedup_key`', params });
    }),
  prepare: ({ routing_key: routingKey, severity, dedup_key: keySource, resolve, url }, context) => {
    const key = keySource === undefined ? undefined : context.bindTemplate(keySource);
    const resolves =
      resolve === undefined ? undefined : condition(context.bind(resolve), resolve, (path) => context.missing(path));
    return httpService(
      {
        url: new URL(url),
        shownPath: new URL(url).pathname,
        secrets: [routingKey],
        more: (run) => ({
          key:
            key === undefined || keySource === undefined
              ? context.messageId(run)
              : render(key, keySource, run, context),
          action: resolves?.(run) === true ? 'resolve' : 'trigger',
          source: cleanLine(run.event.source),
          class: run.event.type,
        }),
        urgent: ({ more }) => more['action'] === 'resolve',
        document: (note) => ({
          routing_key: routingKey,
          event_action: note.more['action'],
          dedup_key: keyOf(note.more['key'] ?? note.id),
          client: 'Ouzel',
          payload: {
            summary: summaryOf(note),
            source: note.more['source'],
            class: note.more['class'],
            severity,
            custom_details: { message: bodyOf(note, LONGEST_DETAILS) },
          },
        }),
      },
      context,
    );
  },
});
