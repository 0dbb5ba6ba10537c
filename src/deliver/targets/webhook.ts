import { resolve } from 'node:path';
import { z } from 'zod';
import { duration, type IssueDetails, literal, size, templateTree } from '../../config/fields.ts';
import { ATTRIBUTES } from '../../telemetry/names.ts';
import { defineTargetComponent } from '../component.ts';
import type { Delivery } from '../delivery.ts';
import { specialHost } from '../http/addresses.ts';
import { failureOf, type HttpAnswer } from '../http/answer.ts';
import { authOptions, type Authorizer, createAuthorizer, secretsOf } from '../http/auth.ts';
import { HttpClient } from '../http/client.ts';
import type { HttpRequest } from '../http/connection.ts';
import type { Asker } from '../http/exchange.ts';
import { httpHeaderTemplates } from '../http/headers.ts';
import { signOptions } from '../http/sign.ts';
import { type TlsFiles, tlsOptions } from '../http/tls.ts';
import { hostOf, urlTemplate } from '../http/url.ts';
import { RequestWriter, type WrittenRequest } from '../http/write.ts';
import type { Exchange } from '../log.ts';
import type { PreparedTarget } from '../route.ts';

const options = z
  .strictObject({
    url: urlTemplate('delivery'),
    method: z.enum(['POST', 'PUT', 'PATCH', 'DELETE']).default('POST').describe('Method of the request.'),
    headers: httpHeaderTemplates('delivery'),
    cloudevents: z
      .enum(['structured', 'binary', 'raw'])
      .default('structured')
      .describe(
        'structured: one JSON document; binary: data as the body, attributes as ce- headers; raw: data alone. Of no effect with `body`. A batch is a CloudEvents batch where it is structured, else a JSON list of the data.',
      ),
    body: templateTree('delivery')
      .optional()
      .describe(
        'What is sent, in place of the event. A mapping or list is sent as JSON, with every text in it a template and every value quoted as JSON needs it; an empty optional leaves its key out. A lone `{{ }}` that is no text is sent as JSON too, anything else as text/plain.',
      ),
    content_type: literal().optional().describe('The content type of `body`, where it is another one.'),
    sign: signOptions().optional(),
    auth: authOptions().optional(),
    tls: tlsOptions().optional(),
    timeout: duration()
      .default(10_000)
      .describe('How long a delivery may take, from the wait for a connection to the end of the answer.'),
    timeouts: z
      .strictObject({
        connect: duration().optional().describe('How long connecting may take, TLS included.'),
        headers: duration().optional().describe('How long the status may take, from when the request was sent.'),
      })
      .prefault({})
      .describe('Parts of it that have a bound of their own.'),
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
  .superRefine((given, context) => {
    const { url, allow_private: allowed, auth, tls, headers = {} } = given;
    const complain = (path: readonly string[], message: string, hint?: string): void => {
      const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint };
      context.addIssue({ code: 'custom', path: [...path], message, params: { ...params } });
    };
    const { token_url: issuer } = auth?.oauth2 ?? {};
    for (const [path, hostname] of [
      [['url'], hostOf(url)],
      [['auth', 'oauth2', 'token_url'], URL.parse(issuer ?? '')?.hostname],
    ] as const) {
      const special = allowed || hostname === undefined ? undefined : specialHost(hostname);
      if (special === undefined) continue;
      const message = `${hostname} is ${special} address, and webhooks go to public ones only`;
      complain(path, message, 'If that is meant, set `allow_private: true` in the target.');
    }
    if (tls !== undefined && /^http:/i.test(url.source))
      complain(['tls'], 'has no effect on a URL that begins with http://');
    const name = (auth?.header?.name ?? 'authorization').toLowerCase();
    if (auth === undefined) return;
    if (name === 'authorization' && /^https?:\/\/[^/?#]*@/i.test(url.source))
      complain(['auth'], 'the URL has a user already: one of the two is enough');
    if (Object.keys(headers).some((each) => each.toLowerCase() === name))
      complain(['auth'], `\`headers\` has ${name} already: one of the two is enough`);
  });

/** Sends events to an HTTP endpoint. */
export const webhook = defineTargetComponent({
  name: 'webhook',
  batch: 'whole',
  summary:
    'Sends each event to an HTTP endpoint. A delivery is confirmed by a 2xx, and its `webhook-id` stays the same over retries.',
  example: '{ url: "https://partner.example/orders/{{ event.data.id }}", headers: { x-tenant: blue } }',
  options,
  prepare(given, context): PreparedTarget {
    const { method, connections, timeout, timeouts, max_response: maxResponse, allow_private: allowPrivate } = given;
    const writer = new RequestWriter(given, context);
    const { origin, hostname } = writer.url;
    const folder = context.folderOf(given.url.place);
    const client = new HttpClient({
      origin,
      connections,
      timeout,
      maxResponse,
      allowPrivate,
      connectTimeout: timeouts.connect,
      headersTimeout: timeouts.headers,
      tls: given.tls && absolute(given.tls, folder),
    });
    const auth = given.auth && createAuthorizer(given.auth, { timeout, allowPrivate });
    const poster: Poster = { client, auth, method, origin, asked: `${method} ${origin}` };

    return {
      span: {
        kind: 'client',
        name: `${method} ${hostname}`,
        attributes: { [ATTRIBUTES.httpMethod]: method, [ATTRIBUTES.serverAddress]: hostname },
      },
      deliver(delivery) {
        new Posting(poster, delivery, writer.write(delivery)).begin();
      },
      preview(delivery) {
        const { url, headers, body } = writer.write(delivery);
        const shown = auth === undefined ? headers : { ...headers, [auth.name]: '***' };
        return { action: `${method} ${url.origin}${url.pathname}${url.search}`, headers: writer.shown(shown), body };
      },
      close: () => client.close(),
    };
  },
});

/** Who posts what goes to one target. */
interface Poster {
  readonly client: HttpClient;
  readonly auth: Authorizer | undefined;
  readonly method: HttpRequest['method'];
  readonly origin: string;
  /** What is asked and whom, for errors. */
  readonly asked: string;
}

/** One delivery on its way. */
class Posting implements Asker {
  readonly #poster: Poster;
  readonly #delivery: Delivery;
  readonly #request: WrittenRequest;
  readonly #known: Exchange;
  #authorization: string | undefined;
  #isSecond = false;

  constructor(poster: Poster, delivery: Delivery, request: WrittenRequest) {
    this.#poster = poster;
    this.#delivery = delivery;
    this.#request = request;
    this.#known = { id: request.headers['webhook-id'] ?? '', answer: undefined, secrets: request.secrets };
    delivery.exchange = this.#known;
  }

  begin(): void {
    const { auth } = this.#poster;
    if (auth === undefined || auth.constant !== undefined) this.#send(auth?.constant);
    else this.#sendWithToken(auth);
  }

  #sendWithToken(auth: Authorizer): void {
    auth
      .value(this.#delivery.signal)
      .then((value) => this.#send(value))
      .catch((error: unknown) => this.#delivery.fail(error));
  }

  #send(authorization: string | undefined): void {
    // Given up while a token was fetched.
    if (this.#delivery.state !== 'open' || this.#delivery.isLeft) return;
    this.#authorization = authorization;
    const { client, auth, method } = this.#poster;
    const { url, headers, body, secrets } = this.#request;
    const isAuthorized = auth !== undefined && authorization !== undefined;
    if (isAuthorized) this.#known.secrets = [...secrets, ...secretsOf(authorization)];
    const request: HttpRequest = {
      method,
      path: url.pathname + url.search,
      headers: isAuthorized ? { ...headers, [auth.name]: authorization } : headers,
      body,
    };
    this.#delivery.underway = client.begin(request, this);
  }

  answered(answer: HttpAnswer): void {
    const { auth, asked, origin } = this.#poster;
    this.#known.answer = answer;
    // A token may have been taken back before its time: another one is tried, once.
    if (answer.status === 401 && !this.#isSecond && auth?.refused(this.#authorization ?? '') === true) {
      this.#isSecond = true;
      return this.#sendWithToken(auth);
    }
    const { secrets } = this.#known;
    const failure = failureOf(answer, { asked, origin, secrets, now: Date.now(), gone: true });
    if (failure === undefined) this.#delivery.confirm();
    else this.#delivery.fail(failure);
  }

  failed(error: unknown): void {
    this.#delivery.fail(error);
  }
}

const absolute = (files: TlsFiles, folder: string): TlsFiles =>
  Object.fromEntries(Object.entries(files).map(([name, path]: [string, string]) => [name, resolve(folder, path)]));
