import { z } from 'zod';
import { duration } from '../../config/fields.ts';
import { headerBlock, headerEntries, headerLine, headerValue } from '../../core/headers.ts';
import { defineTargetComponent } from '../component.ts';
import type { Delivery } from '../delivery.ts';
import { messageIds } from '../ids.ts';
import {
  bindHeaders,
  headerTemplates,
  hopsOf,
  render,
  replayLine,
  spanOf,
  subjectOf,
  subjectTemplate,
  traceHeaders,
} from '../outgoing.ts';
import type { Reply } from '../ports.ts';
import { Request, requestOptions } from '../request.ts';
import type { Preview } from '../route.ts';

/** What is published of a reply; its `Nats-Msg-Id` is that of the request with this behind it. */
const REPLY = '.reply';

/** Asks a NATS service. The delivery is confirmed by its reply, which may be published as an event of its own. */
export const request = defineTargetComponent({
  name: 'request',
  summary: 'Sends a request over NATS and waits for the reply, which can be published as a new event.',
  example: '{ subject: "orders.check", reply: { publish: { subject: "checks.{{ event.data.customer }}" } } }',
  options: z.strictObject({
    ...requestOptions(),
    reply: z
      .strictObject({
        publish: z
          .strictObject({
            subject: subjectTemplate('Subject to publish the reply to.'),
            headers: headerTemplates(),
            timeout: duration().default(5000).describe('How long to wait for the PubAck.'),
          })
          .describe('Publishes the body of the reply, as it came, into a stream: a new event.'),
      })
      .optional()
      .describe('What becomes of the reply. Without it, the reply confirms the delivery and that is all.'),
  }),
  prepare({ reply, ...options }, context) {
    const { publisher, stream, consumer, route } = context;
    const asking = new Request(options, route, context);
    const preview = (delivery: Delivery): Preview => {
      const { subject: to, headers: block, body } = asking.written(delivery.run, delivery.span);
      return { action: `request to ${to}`, headers: headerEntries(new TextEncoder().encode(block)), body };
    };
    if (reply === undefined)
      return {
        span: spanOf(options.subject, 'request'),
        preview,
        deliver(delivery) {
          asking.send(delivery.run, delivery.span, {
            replied: () => delivery.confirm(),
            failed: (error) => delivery.fail(error),
          });
        },
      };

    const { subject: subjectSource, headers: headerSources, timeout } = reply.publish;
    const subject = context.bindTemplate(subjectSource);
    const headers = bindHeaders(headerSources, context);
    const messageId = messageIds(stream, consumer, route);
    const named = new Set(headers.map(([name]) => name.toLowerCase()));

    const publishReply = (delivery: Delivery, to: string, own: string, answer: Reply): void => {
      const { event } = delivery;
      const type = answer.headers === undefined ? undefined : headerValue(answer.headers, 'Content-Type');
      let lines = headerLine('Nats-Msg-Id', messageId(delivery.run) + REPLY);
      lines += headerLine('Ouzel-Hops', String(hopsOf(event) + 1));
      lines += replayLine(delivery.run);
      lines += traceHeaders(delivery.span, named);
      if (type !== undefined && !named.has('content-type')) lines += headerLine('Content-Type', type);
      publisher.publish(to, headerBlock(lines + own), answer.body, timeout, {
        confirmed: () => delivery.confirm(),
        failed: (error) => delivery.fail(error),
      });
    };

    return {
      span: spanOf(options.subject, 'request'),
      preview(delivery) {
        const to = subjectOf(subject, subjectSource, delivery.run, context);
        const { action, ...request } = preview(delivery);
        return { action: `${action}, and publish the reply to ${to}`, ...request };
      },
      deliver(delivery) {
        const { run } = delivery;
        // Rendered before anybody is asked: what cannot be published must not be asked for.
        const to = subjectOf(subject, subjectSource, run, context);
        let own = '';
        for (const [name, bound, source] of headers) own += headerLine(name, render(bound, source, run, context));
        asking.send(run, delivery.span, {
          replied: (answer) => publishReply(delivery, to, own, answer),
          failed: (error) => delivery.fail(error),
        });
      },
    };
  },
});
