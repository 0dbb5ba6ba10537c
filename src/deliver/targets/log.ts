import { z } from 'zod';
import { template } from '../../config/fields.ts';
import { stringifyJson } from '../../core/json.ts';
import { faultError } from '../../pipeline/faults.ts';
import { Fault } from '../../expression/index.ts';
import { defineTargetComponent } from '../component.ts';
import type { Delivery } from '../delivery.ts';

/** Characters of data in a log line, at most. */
const LONGEST = 8192;

/** Data as a log line can bear it: bounded in length; bytes only by their number. */
function loggable(data: unknown): unknown {
  if (data instanceof Uint8Array) return `${data.length} bytes`;
  const text = stringifyJson(data);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : data;
}

/** Writes the event to Ouzel's own log. */
export const log = defineTargetComponent({
  name: 'log',
  batch: 'each',
  summary: "Writes each event to Ouzel's own log, for trying things out.",
  example: '{ message: "order {{ event.data.id }}" }',
  options: z
    .strictObject({
      message: template().optional().describe('Text of the log line. Default: the type of the event.'),
      data: z.boolean().default(true).describe('Whether the data of the event is logged with it.'),
    })
    .prefault({}),
  prepare(options, context) {
    const { message } = options;
    const bound = message === undefined ? undefined : context.bindTemplate(message);
    const lineOf = ({ event, run, span }: Delivery) => {
      const text = bound === undefined ? event.type : bound.text(run);
      if (text instanceof Fault) {
        if (text.kind === 'missing_field') context.missing(text.path ?? '');
        throw faultError(text, message ?? { source: '' });
      }
      const { consumer, route } = context;
      const fields = {
        consumer,
        route,
        id: event.id,
        type: event.type,
        source: event.source,
        seq: run.sequence,
        ...(span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId }),
      };
      return { text, fields: options.data ? { ...fields, data: loggable(event.data) } : fields };
    };
    return {
      span: { kind: 'internal', name: `log ${context.route}`, attributes: {} },
      deliver(delivery) {
        const { text, fields } = lineOf(delivery);
        context.log(fields, text);
        delivery.confirm();
      },
      preview(delivery) {
        const { text, fields } = lineOf(delivery);
        return { action: `log ${JSON.stringify(text)}`, body: stringifyJson(fields) };
      },
    };
  },
});
