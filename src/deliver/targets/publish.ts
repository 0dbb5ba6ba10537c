import { z } from 'zod';
import { duration, type IssueDetails, subjectProblem, template } from '../../config/fields.ts';
import { headerBlock, headerEntries, headerLine } from '../../core/headers.ts';
import { stringifyJson } from '../../core/json.ts';
import type { Event } from '../../core/event.ts';
import type { Run } from '../../core/run.ts';
import { OuzelError } from '../../errors.ts';
import { type BoundTemplate, Fault, type Template } from '../../expression/index.ts';
import { faultError } from '../../pipeline/faults.ts';
import { cloudEventHeaders, structuredEvent } from '../../contracts/encode.ts';
import { defineTargetComponent, type TargetContext } from '../component.ts';
import type { Delivery } from '../delivery.ts';
import { messageIds } from '../ids.ts';
import type { PublishListener } from '../ports.ts';
import type { SpanDescription } from '../route.ts';
import { ATTRIBUTES, MESSAGING_SYSTEM } from '../../telemetry/names.ts';

/** An event passes through this many publishes at most: a loop of consumers ends. */
export const MAX_HOPS = 8;

/** One token of a subject: not empty, no dot, wildcard, space or control character, not `$`-prefixed. */
// oxlint-disable-next-line no-control-regex -- control characters are what must not get into a subject
const TOKEN = /^(?!\$)[^.*>\s\u0000-\u001f\u007f]+$/u;

/** Characters of a subject at most. The server closes the connection over a longer line, and that of all consumers. */
const LONGEST_SUBJECT = 512;

/** Headers of the incoming message that never go on: the server's own, ours, and what is written anew. */
const NOT_FORWARDED = /^(?:nats-|ce-|ouzel-|content-type$)/i;

/** What the configuration may not set: the id that makes a repetition harmless, and the marks of Ouzel. */
const NOT_CONFIGURABLE = /^(?:nats-msg-id$|ouzel-)/i;
/** Written anew while traces are on, and handed on as they came while they are off: a trace must not end here. */
const TRACE_CONTEXT = /^(?:traceparent|tracestate)$/i;

/** The trace context of a delivery, as W3C Trace Context names it. */
function traceHeaders({ span }: Delivery, own: ReadonlySet<string>): string {
  if (span === undefined || own.has('traceparent')) return '';
  const { traceparent, tracestate } = span;
  return `traceparent: ${traceparent}\r\n${tracestate === undefined ? '' : headerLine('tracestate', tracestate)}`;
}

/** How the deliveries of a route are shown in a trace: by the subject as it is configured, never by event data. */
function spanOf({ constant, source }: Template): SpanDescription {
  const destination = constant ?? source;
  return {
    kind: 'producer',
    name: `publish ${destination}`,
    attributes: {
      [ATTRIBUTES.system]: MESSAGING_SYSTEM,
      [ATTRIBUTES.operationType]: 'send',
      [ATTRIBUTES.operationName]: 'publish',
      [constant === undefined ? ATTRIBUTES.destinationTemplate : ATTRIBUTES.destinationName]: destination,
    },
  };
}

type Bound = readonly [name: string, value: BoundTemplate, template: Template];

function render(bound: BoundTemplate, source: Template, run: Run, context: TargetContext): string {
  const text = bound.text(run);
  if (!(text instanceof Fault)) return text;
  if (text.kind === 'missing_field') context.missing(text.path ?? source.source);
  throw faultError(text, source);
}

function subjectOf(bound: BoundTemplate, source: Template, run: Run, context: TargetContext): string {
  if (source.constant !== undefined) return source.constant;
  const text = bound.text(run, (value) => TOKEN.test(value));
  if (!(text instanceof Fault)) {
    const problem = text.length > LONGEST_SUBJECT ? `is ${text.length} characters long` : subjectProblem(text, false);
    if (problem === undefined) return text;
    throw new OuzelError('EVENT_INVALID_SUBJECT', `the subject "${text.slice(0, 80)}" ${problem}`, {
      place: source.place,
    });
  }
  if (text.kind === 'missing_field') {
    context.missing(text.path ?? source.source);
    throw faultError(text, source);
  }
  throw new OuzelError('EVENT_INVALID_SUBJECT', faultError(text, source).message, { place: source.place });
}

function hopsOf(event: Event): number {
  // Whoever publishes can write anything there: a number below zero would be a way around the bound.
  const hops = Math.max(0, Number.parseInt(event.header('Ouzel-Hops') ?? '0', 10) || 0);
  if (hops >= MAX_HOPS)
    throw new OuzelError('EVENT_HOPS', `the event was published by Ouzel ${hops} times already: a loop of consumers?`);
  return hops;
}

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
  summary: 'Publishes to a NATS subject and waits until a stream has stored the message.',
  example: '{ subject: "alerts.orders.{{ event.data.customer }}" }',
  options: z.strictObject({
    subject: template()
      .superRefine((value, context) => {
        const problem = value.constant === undefined ? undefined : subjectProblem(value.constant, false);
        const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE' };
        if (problem !== undefined)
          context.addIssue({
            code: 'custom',
            message: `the subject "${value.source}" ${problem}`,
            params: { ...params },
          });
      })
      .describe('Subject to publish to. What an expression puts in must be one token: no dot, wildcard or space.'),
    headers: z
      .record(
        z
          .string()
          .regex(/^[!-9;-~]+$/)
          .refine((name) => !NOT_CONFIGURABLE.test(name), { error: 'Ouzel writes this header itself' }),
        template(),
      )
      .optional()
      .describe('Headers to add.'),
    cloudevents: z
      .enum(['binary', 'structured', 'raw'])
      .default('binary')
      .describe('binary: data as the body, attributes as ce- headers; structured: one JSON document; raw: data alone.'),
    core: z
      .boolean()
      .default(false)
      .describe('Fire and forget: core NATS without PubAck. The event counts as delivered once it is written.'),
    timeout: duration().default(5000).describe('How long to wait for the PubAck.'),
  }),
  prepare(options, context) {
    const subject = context.bindTemplate(options.subject);
    const headers: Bound[] = Object.entries(options.headers ?? {}).map(([name, each]) => [
      name,
      context.bindTemplate(each),
      each,
    ]);
    const messageId = messageIds(context.stream, context.consumer, context.route);
    const { publisher } = context;
    const own = new Set(headers.map(([name]) => name.toLowerCase()));

    /** What says how the body is to be read, less what the configuration says otherwise. */
    const describing = (event: Event): string => {
      let lines = '';
      if (options.cloudevents === 'binary') lines = cloudEventHeaders(event);
      else if (options.cloudevents === 'structured') lines = 'Content-Type: application/cloudevents+json\r\n';
      else if (event.datacontenttype !== undefined) lines = headerLine('Content-Type', event.datacontenttype);
      if (own.size === 0) return lines;
      return lines.replace(/^([^:\r\n]+):.*\r\n/gm, (line, name: string) => (own.has(name.toLowerCase()) ? '' : line));
    };

    const headersOf = (delivery: Delivery): string => {
      const { event, run } = delivery;
      let lines = headerLine('Nats-Msg-Id', messageId(event.position));
      lines += headerLine('Ouzel-Hops', String(hopsOf(event) + 1));
      lines += describing(event);
      lines += traceHeaders(delivery, own);
      for (const [name, bound, source] of headers) lines += headerLine(name, render(bound, source, run, context));
      if (event.carrier.headers !== undefined)
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
      return {
        to: subjectOf(subject, options.subject, run, context),
        headers: headersOf(delivery),
        body: options.cloudevents === 'structured' ? stringifyJson(structuredEvent(event)) : event.body(),
      };
    };

    return {
      span: spanOf(options.subject),
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
