import { z } from 'zod';
import { duration, type IssueDetails, size, template } from '../../config/fields.ts';
import { cloudEventHeaders, structuredEvent } from '../../contracts/encode.ts';
import type { Event } from '../../core/event.ts';
import { replayOf } from '../../core/handover.ts';
import { stringifyJson } from '../../core/json.ts';
import { Fault } from '../../expression/index.ts';
import { faultError } from '../../pipeline/faults.ts';
import { ATTRIBUTES } from '../../telemetry/names.ts';
import { VERSION } from '../../version.ts';
import { defineTargetComponent, type TargetContext } from '../component.ts';
import type { Delivery } from '../delivery.ts';
import { specialHost } from '../http/addresses.ts';
import { failureOf } from '../http/answer.ts';
import { HttpClient } from '../http/client.ts';
import { basic, httpHeaderTemplates, httpName, httpTraceHeaders, httpValue } from '../http/headers.ts';
import { hostOf, TargetUrl, urlTemplate } from '../http/url.ts';
import { messageIds } from '../ids.ts';
import { bindHeaders, hopsOf, render, REPLAY_HEADER, traceOf } from '../outgoing.ts';
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

type Options = z.output<typeof options>;

/** A request as it goes out. */
interface WrittenRequest {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
  /** What must not be shown when the target sends it back. */
  readonly secrets: readonly string[];
}

/** The header lines of CloudEvents, as HTTP has them. */
function describingHeaders(event: Event): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of cloudEventHeaders(event).split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) headers[httpName(line.slice(0, colon))] = httpValue(line.slice(colon + 1));
  }
  return headers;
}

interface Content {
  readonly describing: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

function eventContent(event: Event, mode: Options['cloudevents']): Content {
  if (mode === 'structured')
    return {
      describing: { 'content-type': 'application/cloudevents+json' },
      body: stringifyJson(structuredEvent(event)),
    };
  if (mode === 'binary') return { describing: describingHeaders(event), body: event.body() };
  return { describing: { 'content-type': httpValue(event.datacontenttype ?? 'application/json') }, body: event.body() };
}

/** Makes the requests of a route. */
class Writer {
  readonly url: TargetUrl;
  readonly #options: Options;
  readonly #context: TargetContext;
  readonly #messageId: ReturnType<typeof messageIds>;
  readonly #headers: ReturnType<typeof bindHeaders>;
  readonly #body: ReturnType<TargetContext['bindTemplate']> | undefined;

  constructor(given: Options, context: TargetContext) {
    this.#options = given;
    this.#context = context;
    this.url = new TargetUrl(given.url, context);
    this.#messageId = messageIds(context.stream, context.consumer, context.route);
    this.#headers = bindHeaders(given.headers, context);
    this.#body = given.body === undefined ? undefined : context.bindTemplate(given.body);
  }

  /** @throws OuzelError what the templates do; EVENT_HOPS */
  write({ event, run, span }: Delivery): WrittenRequest {
    const url = this.url.of(run);
    const { describing, body } = this.#content(event, run);
    const own = this.#headers.map(
      ([name, bound, source]) => [name.toLowerCase(), render(bound, source, run, this.#context)] as const,
    );
    const { credentials } = this.url;
    const headers: Record<string, string> = {
      'user-agent': `ouzel/${VERSION}`,
      ...(credentials === undefined ? {} : { authorization: basic(credentials) }),
      ...describing,
      ...(own.some(([name]) => name === 'traceparent') ? {} : httpTraceHeaders(span ?? traceOf(event))),
      ...Object.fromEntries(own.map(([name, value]) => [name, httpValue(value)])),
      'webhook-id': this.#messageId(run),
      'webhook-timestamp': String(Math.floor(Date.now() / 1000)),
      'ouzel-hops': String(hopsOf(event) + 1),
      ...(run.replay ? { [REPLAY_HEADER.toLowerCase()]: replayOf(run.id) ?? '' } : {}),
    };
    const secrets = [
      ...own.flatMap(([, value]) => [value, ...value.split(' ')]),
      ...(credentials === undefined ? [] : [basic(credentials).slice('Basic '.length), credentials.password]),
      url.search.slice(1),
      ...url.searchParams.values(),
    ];
    return { url, headers, body, secrets };
  }

  #content(event: Event, run: Delivery['run']): Content {
    const { body: source, cloudevents } = this.#options;
    if (this.#body === undefined || source === undefined) return eventContent(event, cloudevents);
    const value = this.#body.value(run);
    if (value instanceof Fault) {
      if (value.kind === 'missing_field') this.#context.missing(value.path ?? source.source);
      throw faultError(value, source);
    }
    if (typeof value === 'string') return { describing: { 'content-type': 'text/plain; charset=utf-8' }, body: value };
    return { describing: { 'content-type': 'application/json' }, body: stringifyJson(value ?? null) };
  }
}

/** Sends events to an HTTP endpoint. */
export const webhook = defineTargetComponent({
  name: 'webhook',
  summary:
    'Sends each event to an HTTP endpoint. A delivery is confirmed by a 2xx, and its `webhook-id` stays the same over retries.',
  example: '{ url: "https://partner.example/orders/{{ event.data.id }}", headers: { x-tenant: blue } }',
  options,
  prepare(given, context): PreparedTarget {
    const { method, connections, timeout, max_response: maxResponse, allow_private: allowPrivate } = given;
    const writer = new Writer(given, context);
    const { origin, hostname, credentials } = writer.url;
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
        const shown = Object.entries(headers).map(([name, value]): [string, string] => [
          name,
          credentials !== undefined && value === basic(credentials) ? 'Basic ***' : value,
        ]);
        return { action: `${method} ${url.origin}${url.pathname}${url.search}`, headers: shown, body };
      },
      close: () => client.close(),
    };
  },
});
