/** Makes the requests of a webhook: its URL, its headers and its body, signed. */
import type { TemplateTree } from '../../config/fields.ts';
import { batchContent, cloudEventHeaders, structuredText } from '../../contracts/encode.ts';
import type { Event } from '../../core/event.ts';
import { replayOf } from '../../core/handover.ts';
import { stringifyJson } from '../../core/json.ts';
import { Template } from '../../expression/index.ts';
import { VERSION } from '../../version.ts';
import type { TargetContext } from '../component.ts';
import type { Delivery } from '../delivery.ts';
import { messageIds } from '../ids.ts';
import { bindHeaders, bindTree, mostHops, render, REPLAY_HEADER, traceOf } from '../outgoing.ts';
import { basic, httpName, httpTraceHeaders, httpValue } from './headers.ts';
import { createSigner, type Signer, type SignOptions } from './sign.ts';
import { TargetUrl } from './url.ts';

export interface WriterOptions {
  readonly url: Template;
  readonly headers?: Readonly<Record<string, Template>> | undefined;
  readonly cloudevents: 'structured' | 'binary' | 'raw';
  readonly body?: TemplateTree | undefined;
  readonly content_type?: string | undefined;
  readonly sign?: SignOptions | undefined;
}

/** A request as it goes out. */
export interface WrittenRequest {
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

const USER_AGENT = `ouzel/${VERSION}`;
const STRUCTURED = { 'content-type': 'application/cloudevents+json' };
const NO_SECRETS: readonly string[] = [];

interface Content {
  readonly describing: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

function eventContent(event: Event, mode: WriterOptions['cloudevents']): Content {
  if (mode === 'structured') return { describing: STRUCTURED, body: structuredText(event) };
  if (mode === 'binary') return { describing: describingHeaders(event), body: event.body() };
  return { describing: { 'content-type': httpValue(event.datacontenttype ?? 'application/json') }, body: event.body() };
}

/** Makes the requests of a route. */
export class RequestWriter {
  readonly url: TargetUrl;
  readonly #options: WriterOptions;
  readonly #context: TargetContext;
  readonly #messageId: ReturnType<typeof messageIds>;
  readonly #headers: ReturnType<typeof bindHeaders>;
  readonly #body: ReturnType<typeof bindTree> | undefined;
  readonly #sign: Signer | undefined;
  readonly #basic: string | undefined;

  constructor(given: WriterOptions, context: TargetContext) {
    this.#options = given;
    this.#context = context;
    this.url = new TargetUrl(given.url, context);
    this.#basic = this.url.credentials && basic(this.url.credentials);
    this.#messageId = messageIds(context.stream, context.consumer, context.route);
    this.#headers = bindHeaders(given.headers, context);
    this.#body = given.body === undefined ? undefined : bindTree(given.body, context);
    this.#sign = given.sign === undefined ? undefined : createSigner(given.sign);
  }

  /**
   * The request of a delivery, less what authorizes it.
   *
   * @throws OuzelError what the templates do; EVENT_HOPS
   */
  write({ event, run, span }: Delivery): WrittenRequest {
    const url = this.url.of(run);
    const { describing, body } = this.#content(event, run);
    const own = this.#headers.map(
      ([name, bound, source]) => [name.toLowerCase(), render(bound, source, run, this.#context)] as const,
    );
    // A full stop separates what is signed, and must not stand in it.
    const id = this.#messageId(run).replaceAll('.', '_');
    const timestamp = String(Math.floor(Date.now() / 1000));
    // Written one after the other: this is done for every event, and spreading objects costs several times as much.
    const headers: Record<string, string> = { 'user-agent': USER_AGENT };
    if (this.#basic !== undefined) headers['authorization'] = this.#basic;
    for (const name in describing) headers[name] = describing[name] as string;
    if (!own.some(([name]) => name === 'traceparent'))
      Object.assign(headers, httpTraceHeaders(span ?? (run.together === undefined ? traceOf(event) : undefined)));
    for (const [name, value] of own) headers[name] = httpValue(value);
    headers['webhook-id'] = id;
    headers['webhook-timestamp'] = timestamp;
    headers['ouzel-hops'] = String(mostHops(run) + 1);
    if (run.replay) headers[REPLAY_HEADER.toLowerCase()] = replayOf(run.id) ?? '';
    Object.assign(headers, this.#sign?.({ id, timestamp, body }));
    return { url, headers, body, secrets: this.#secretsOf(url, own) };
  }

  #secretsOf(url: URL, own: readonly (readonly [name: string, value: string])[]): readonly string[] {
    const { credentials } = this.url;
    if (own.length === 0 && url.search === '' && credentials === undefined) return NO_SECRETS;
    return [
      ...own.flatMap(([, value]) => [value, ...value.split(' ')]),
      ...(credentials === undefined ? [] : [basic(credentials).slice('Basic '.length), credentials.password]),
      url.search.slice(1),
      ...url.searchParams.values(),
    ];
  }

  /** The headers as they may be shown: nobody gets a signature for an event of their own by looking at it. */
  shown(headers: WrittenRequest['headers']): [name: string, value: string][] {
    const signatures = new Set(Object.keys(this.#sign?.({ id: '', timestamp: '', body: '' }) ?? {}));
    return Object.entries(headers).map(([name, value]) => {
      if (signatures.has(name)) return [name, '***'];
      return [name, this.#basic !== undefined && value === this.#basic ? 'Basic ***' : value];
    });
  }

  #content(event: Event, run: Delivery['run']): Content {
    const { body: source, content_type: type, cloudevents } = this.#options;
    if (this.#body === undefined && run.together !== undefined) {
      const { type: usual, body } = batchContent(run.together, cloudevents);
      return { describing: { 'content-type': usual }, body };
    }
    if (this.#body === undefined) return eventContent(event, cloudevents);
    const value = this.#body(run);
    const isText = typeof value === 'string' && source instanceof Template;
    const usual = isText ? 'text/plain; charset=utf-8' : 'application/json';
    return {
      describing: { 'content-type': httpValue(type ?? usual) },
      body: isText ? value : stringifyJson(value ?? null),
    };
  }
}
