/** Request and reply over NATS: what the transformer and the target of this name have in common. */
import { z } from 'zod';
import { duration, size, template } from '../config/fields.ts';
import { cloudEventHeaders, structuredText } from '../contracts/encode.ts';
import { type Event, isJsonType } from '../core/event.ts';
import { headerBlock, headerLine, headerValue } from '../core/headers.ts';
import { parseJson, stringifyJson } from '../core/json.ts';
import type { TraceContext } from '../core/ports.ts';
import type { Run } from '../core/run.ts';
import { OuzelError } from '../errors.ts';
import { type BoundTemplate, Fault } from '../expression/index.ts';
import { faultError } from '../pipeline/faults.ts';
import { messageIds } from './ids.ts';
import {
  bindHeaders,
  type BoundHeader,
  headerTemplates,
  hopsOf,
  type OutgoingContext,
  render,
  replayLine,
  subjectOf,
  subjectTemplate,
  traceHeaders,
  traceOf,
} from './outgoing.ts';
import type { Reply, ReplyListener, Requester } from './ports.ts';

/** The options of a request, as fields of a schema. */
export const requestOptions = () => ({
  subject: subjectTemplate('Subject to ask.'),
  body: template()
    .optional()
    .describe('What is sent, in place of the data of the event. A lone `{{ }}` that is no text is sent as JSON.'),
  headers: headerTemplates(),
  cloudevents: z
    .enum(['binary', 'structured', 'raw'])
    .default('binary')
    .describe('How the event is sent, as for `publish`; of no effect with `body`.'),
  timeout: duration().default(5000).describe('How long to wait for the reply.'),
  max_reply: size().default(1_048_576).describe('A reply that is larger is refused.'),
});

type RequestOptions = z.output<z.ZodObject<ReturnType<typeof requestOptions>>>;

export interface RequestContext extends OutgoingContext {
  readonly stream: string;
  readonly consumer: string;
  readonly requester: Requester;
}

interface Message {
  readonly lines: string;
  readonly body: Uint8Array | string;
}

/** A request as it goes out. */
export interface WrittenRequest {
  readonly subject: string;
  readonly headers: string;
  readonly body: Uint8Array | string;
}

/** A request, ready to be made for one event after another. */
export class Request {
  readonly #options: RequestOptions;
  readonly #context: RequestContext;
  readonly #subject: BoundTemplate;
  readonly #body: BoundTemplate | undefined;
  readonly #headers: readonly BoundHeader[];
  readonly #messageId: ReturnType<typeof messageIds>;

  /** @param name The route or stage: part of the id of each message. */
  constructor(options: RequestOptions, name: string, context: RequestContext) {
    this.#options = options;
    this.#context = context;
    this.#subject = context.bindTemplate(options.subject);
    this.#body = options.body === undefined ? undefined : context.bindTemplate(options.body);
    this.#headers = bindHeaders(options.headers, context);
    this.#messageId = messageIds(context.stream, context.consumer, name);
  }

  /**
   * Makes the request. A reply that is too large is a failure.
   *
   * @param trace Where in a trace it is made; undefined while traces are off, and then the event's own goes on.
   * @throws OuzelError what the templates do
   */
  send(run: Run, trace: TraceContext | undefined, listener: ReplyListener): void {
    const { timeout, max_reply: largest } = this.#options;
    const { subject, headers, body } = this.written(run, trace);
    this.#context.requester.request(subject, headers, body, timeout, {
      replied: (reply) => {
        if (reply.body.length <= largest) return listener.replied(reply);
        const problem = `the reply has ${reply.body.length} bytes, and \`max_reply\` is ${largest}`;
        listener.failed(new OuzelError('TARGET_REJECTED', `request to ${subject}: ${problem}`));
      },
      failed: (error) => listener.failed(error),
    });
  }

  /** The request as it would be sent. @throws OuzelError what the templates do */
  written(run: Run, trace: TraceContext | undefined): WrittenRequest {
    const { event } = run;
    const subject = subjectOf(this.#subject, this.#options.subject, run, this.#context);
    const own = new Set(this.#headers.map(([name]) => name.toLowerCase()));
    const { lines: describing, body } = this.#message(run);
    let lines = headerLine('Nats-Msg-Id', this.#messageId(run));
    lines += headerLine('Ouzel-Hops', String(hopsOf(event) + 1));
    lines += replayLine(run);
    lines += traceHeaders(trace ?? traceOf(event), own);
    lines += describing.replace(/^([^:\r\n]+):.*\r\n/gm, (line, name: string) =>
      own.has(name.toLowerCase()) ? '' : line,
    );
    for (const [name, bound, source] of this.#headers)
      lines += headerLine(name, render(bound, source, run, this.#context));
    return { subject, headers: headerBlock(lines), body };
  }

  /** What is sent, and the headers that say how it is to be read. */
  #message(run: Run): Message {
    const { event } = run;
    const { body: source, cloudevents } = this.#options;
    if (this.#body === undefined || source === undefined) return eventMessage(event, cloudevents);
    const value = this.#body.value(run);
    if (value instanceof Fault) {
      if (value.kind === 'missing_field') this.#context.missing(value.path ?? source.source);
      throw faultError(value, source);
    }
    if (typeof value === 'string') return { lines: '', body: value };
    return { lines: 'Content-Type: application/json\r\n', body: stringifyJson(value ?? null) };
  }
}

function eventMessage(event: Event, mode: RequestOptions['cloudevents']): Message {
  if (mode === 'structured')
    return { lines: 'Content-Type: application/cloudevents+json\r\n', body: structuredText(event) };
  if (mode === 'binary') return { lines: cloudEventHeaders(event), body: event.body() };
  const { datacontenttype } = event;
  return {
    lines: datacontenttype === undefined ? '' : headerLine('Content-Type', datacontenttype),
    body: event.body(),
  };
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * The value of a reply: JSON, or text where it says or can be nothing else; null for an empty one.
 *
 * @throws OuzelError TARGET_REJECTED for a reply that is not what its content type says, or no text at all
 */
export function replyValue({ headers, body }: Reply): unknown {
  if (body.length === 0) return null;
  const type = headers === undefined ? undefined : headerValue(headers, 'Content-Type');
  let text: string;
  try {
    text = decoder.decode(body);
  } catch {
    throw new OuzelError('TARGET_REJECTED', 'the reply is neither JSON nor text');
  }
  if (!isJsonType(type)) return text;
  try {
    return parseJson(text);
  } catch (error) {
    if (type === undefined) return text;
    throw new OuzelError('TARGET_REJECTED', `the reply is said to be JSON: ${(error as Error).message}`);
  }
}
