import { z } from 'zod';
import { duration, type IssueDetails, size, template } from '../../config/fields.ts';
import { ATTRIBUTES } from '../../telemetry/names.ts';
import { defineTargetComponent } from '../component.ts';
import type { Delivery } from '../delivery.ts';
import { specialHost } from '../http/addresses.ts';
import { failureOf } from '../http/answer.ts';
import { HttpClient } from '../http/client.ts';
import { httpHeaderTemplates } from '../http/headers.ts';
import { signOptions } from '../http/sign.ts';
import { hostOf, urlTemplate } from '../http/url.ts';
import { RequestWriter, type WrittenRequest } from '../http/write.ts';
import type { PreparedTarget } from '../route.ts';

const options = z
  .strictObject({
    url: urlTemplate(),
    method: z.enum(['POST', 'PUT', 'PATCH']).default('POST').describe('Method of the request.'),
    headers: httpHeaderTemplates(),
    cloudevents: z
      .enum(['structured', 'binary', 'raw'])
      .default('structured')
      .describe(
        'structured: one JSON document; binary: data as the body, attributes as ce- headers; raw: data alone. Of no effect with `body`.',
      ),
    body: template()
      .optional()
      .describe(
        'What is sent, in place of the event. A lone `{{ }}` that is no text is sent as JSON, anything else as text/plain; `headers` can name another content type.',
      ),
    sign: signOptions().optional(),
    timeout: duration()
      .default(10_000)
      .describe('How long a delivery may take, from the wait for a connection to the end of the answer.'),
    allow_private: z
      .boolean()
      .default(false)
      .describe(
        'Whether the host may have a private, loopback, link-local or otherwise special address. It is checked on every connection, on the address that is connected to.',
      ),
    connections: z.number().int().min(1).max(1024).default(64).describe('Connections at most; more deliveries wait.'),
    max_response: size()
      .default(65_536)
      .describe('Bytes of an answer that are read. After a larger one, its connection is closed.'),
  })
  .superRefine(({ url, allow_private: allowed }, context) => {
    const hostname = hostOf(url);
    const special = allowed || hostname === undefined ? undefined : specialHost(hostname);
    if (special === undefined) return;
    const params: IssueDetails = {
      code: 'CONFIG_INVALID_VALUE',
      hint: 'If that is meant, set `allow_private: true` beside it.',
    };
    const message = `${hostname} is ${special} address, and webhooks go to public ones only`;
    context.addIssue({ code: 'custom', path: ['url'], message, params: { ...params } });
  });

/** Sends events to an HTTP endpoint. */
export const webhook = defineTargetComponent({
  name: 'webhook',
  summary:
    'Sends each event to an HTTP endpoint. A delivery is confirmed by a 2xx, and its `webhook-id` stays the same over retries.',
  example: '{ url: "https://partner.example/orders/{{ event.data.id }}", headers: { x-tenant: blue } }',
  options,
  prepare(given, context): PreparedTarget {
    const { method, connections, timeout, max_response: maxResponse, allow_private: allowPrivate } = given;
    const writer = new RequestWriter(given, context);
    const { origin, hostname } = writer.url;
    const client = new HttpClient({ origin, connections, timeout, maxResponse, allowPrivate });
    const asked = `${method} ${origin}`;

    const exchange = async (delivery: Delivery, { url, headers, body, secrets }: WrittenRequest): Promise<void> => {
      const path = url.pathname + url.search;
      const answer = await client.send({ method, path, headers, body }, delivery.signal);
      const failure = failureOf(answer, { asked, origin, secrets, now: Date.now() });
      if (failure === undefined) delivery.confirm();
      else delivery.fail(failure);
    };

    return {
      span: {
        kind: 'client',
        name: `${method} ${hostname}`,
        attributes: { [ATTRIBUTES.httpMethod]: method, [ATTRIBUTES.serverAddress]: hostname },
      },
      deliver(delivery) {
        exchange(delivery, writer.write(delivery)).catch((error: unknown) => delivery.fail(error));
      },
      preview(delivery) {
        const { url, headers, body } = writer.write(delivery);
        return { action: `${method} ${url.origin}${url.pathname}${url.search}`, headers: writer.shown(headers), body };
      },
      close: () => client.close(),
    };
  },
});
