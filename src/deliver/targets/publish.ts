import { z } from 'zod';
import { duration } from '../../config/fields.ts';
import { headerBlock, headerEntries, headerLine } from '../../core/headers.ts';
import type { Event } from '../../core/event.ts';
import type { OuzelError } from '../../errors.ts';
import { type BatchContent, batchContent, cloudEventHeaders, structuredText } from '../../contracts/encode.ts';
import { defineTargetComponent } from '../component.ts';
import type { Delivery } from '../delivery.ts';
import { messageIds } from '../ids.ts';
import {
  bindHeaders,
  headerTemplates,
  mostHops,
  render,
  replayLine,
  spanOf,
  subjectOf,
  subjectTemplate,
  traceHeaders,
} from '../outgoing.ts';
import type { PublishListener } from '../ports.ts';

/** Headers of the incoming message that never go on: the server's own, ours, and what is written anew. */
const NOT_FORWARDED = /^(?:nats-|ce-|ouzel-|content-type$)/i;

/** Written anew while traces are on, and handed on as they came while they are off: a trace must not end here. */
const TRACE_CONTEXT = /^(?:traceparent|tracestate)$/i;

/** Turns PubAcks into the result of a delivery. */
class DeliveryListener implements PublishListener {
  readonly #delivery: Delivery;

  constructor(delivery: Delivery) {
    this.#delivery = delivery;
  }

  confirmed(): void {
    this.#delivery.confirm();
  }

  failed(error: OuzelError): void {
    this.#delivery.fail(error);
  }
}

/** Publishes to a NATS subject. The delivery is confirmed when a stream has stored the message (PubAck). */
export const publish = defineTargetComponent({
  name: 'publish',
  batch: 'whole',
  summary: 'Publishes to a NATS subject and waits until a stream has stored the message.',
  example: '{ subject: "alerts.orders.{{ event.data.customer }}" }',
  options: z.strictObject({
    subject: subjectTemplate('Subject to publish to.', 'delivery'),
    headers: headerTemplates('delivery'),
    cloudevents: z
      .enum(['binary', 'structured', 'raw'])
      .default('binary')
      .describe(
        'binary: data as the body, attributes as ce- headers; structured: one JSON document; raw: data alone. A batch is a CloudEvents batch where it is structured, else a JSON list of the data.',
      ),
    core: z
      .boolean()
      .default(false)
      .describe('Fire and forget: core NATS without PubAck. The event counts as delivered once it is written.'),
    timeout: duration().default(5000).describe('How long to wait for the PubAck.'),
  }),
  prepare(options, context) {
    const subject = context.bindTemplate(options.subject);
    const headers = bindHeaders(options.headers, context);
    const messageId = messageIds(context.stream, context.consumer, context.route);
    const { publisher } = context;
    const own = new Set(headers.map(([name]) => name.toLowerCase()));

    const withoutOwn = (lines: string): string =>
      own.size === 0
        ? lines
        : lines.replace(/^([^:\r\n]+):.*\r\n/gm, (line, name: string) => (own.has(name.toLowerCase()) ? '' : line));

    /** What says how the body is to be read, less what the configuration says otherwise. */
    const describing = (event: Event): string => {
      let lines = '';
      if (options.cloudevents === 'binary') lines = cloudEventHeaders(event);
      else if (options.cloudevents === 'structured') lines = 'Content-Type: application/cloudevents+json\r\n';
      else if (event.datacontenttype !== undefined) lines = headerLine('Content-Type', event.datacontenttype);
      return withoutOwn(lines);
    };

    const headersOf = (delivery: Delivery, batch: BatchContent | undefined): string => {
      const { event, run } = delivery;
      let lines = headerLine('Nats-Msg-Id', messageId(run));
      lines += headerLine('Ouzel-Hops', String(mostHops(run) + 1));
      lines += replayLine(run);
      lines += batch === undefined ? describing(event) : withoutOwn(headerLine('Content-Type', batch.type));
      lines += traceHeaders(delivery.span, own);
      for (const [name, bound, source] of headers) lines += headerLine(name, render(bound, source, run, context));
      // A batch has no headers of its own, and those of its events differ.
      if (batch === undefined && event.carrier.headers !== undefined)
        for (const [name, value] of headerEntries(event.carrier.headers))
          if (
            !NOT_FORWARDED.test(name) &&
            !own.has(name.toLowerCase()) &&
            !(delivery.span !== undefined && TRACE_CONTEXT.test(name))
          )
            lines += headerLine(name, value);
      return headerBlock(lines);
    };

    const messageOf = (delivery: Delivery) => {
      const { event, run } = delivery;
      const to = subjectOf(subject, options.subject, run, context);
      if (run.together !== undefined) {
        const batch = batchContent(run.together, options.cloudevents);
        return { to, headers: headersOf(delivery, batch), body: batch.body };
      }
      return {
        to,
        headers: headersOf(delivery, undefined),
        body: options.cloudevents === 'structured' ? structuredText(event) : event.body(),
      };
    };

    return {
      span: spanOf(options.subject, 'publish'),
      deliver(delivery) {
        const { to, headers: block, body } = messageOf(delivery);
        if (options.core) {
          publisher.publishCore(to, block, body);
          return delivery.confirm();
        }
        publisher.publish(to, block, body, options.timeout, new DeliveryListener(delivery));
      },
      preview(delivery) {
        const { to, headers: block, body } = messageOf(delivery);
        const action = `publish${options.core ? ', without waiting for a stream,' : ''} to ${to}`;
        return { action, headers: headerEntries(new TextEncoder().encode(block)), body };
      },
    };
  },
});
