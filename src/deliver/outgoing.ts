/** What every message that goes out to NATS has: a subject of safe tokens, headers, and a bound on loops. */
import { z } from 'zod';
import { type IssueDetails, subjectProblem, template, type TemplateTree } from '../config/fields.ts';
import type { Event } from '../core/event.ts';
import { replayOf } from '../core/handover.ts';
import { headerLine } from '../core/headers.ts';
import type { TraceContext } from '../core/ports.ts';
import { OuzelError } from '../errors.ts';
import type { Run } from '../core/run.ts';
import { type BoundTemplate, Fault, type Scope, type ScopeKind, Template } from '../expression/index.ts';
import { faultError } from '../pipeline/faults.ts';
import { ATTRIBUTES, MESSAGING_SYSTEM } from '../telemetry/names.ts';
import type { SpanDescription } from './route.ts';

/** An event passes through this many publishes at most: a loop of consumers ends. */
export const MAX_HOPS = 8;

/** One token of a subject: not empty, no dot, wildcard, space or control character, not `$`-prefixed. */
// oxlint-disable-next-line no-control-regex -- control characters are what must not get into a subject
const TOKEN = /^(?!\$)[^.*>\s\u0000-\u001f\u007f]+$/u;

/** Characters of a subject at most. The server closes the connection over a longer line, and that of all consumers. */
const LONGEST_SUBJECT = 512;

/** What the configuration may not set: the id that makes a repetition harmless, and the marks of Ouzel. */
const NOT_CONFIGURABLE = /^(?:nats-msg-id$|ouzel-)/i;

/** What rendering needs of whoever sends. */
export interface OutgoingContext {
  bindTemplate(template: Template): BoundTemplate;
  missing(path: string): void;
}

/** A template of a subject, which is checked where it is constant. */
export const subjectTemplate = (description: string, scope: ScopeKind = 'event') =>
  template(scope)
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
    .describe(`${description} What an expression puts in must be one token: no dot, wildcard or space.`);

/** Headers by name. */
export const headerTemplates = (scope: ScopeKind = 'event') =>
  z
    .record(
      z
        .string()
        .regex(/^[!-9;-~]+$/)
        .refine((name) => !NOT_CONFIGURABLE.test(name), { error: 'Ouzel writes this header itself' }),
      template(scope),
    )
    .optional()
    .describe('Headers to add.');

export type BoundHeader = readonly [name: string, value: BoundTemplate, template: Template];

/** The text of a template. @throws OuzelError EVENT_MISSING_FIELD, EVENT_EXPRESSION */
export function render(bound: BoundTemplate, source: Template, scope: Scope, context: OutgoingContext): string {
  const text = bound.text(scope);
  if (!(text instanceof Fault)) return text;
  if (text.kind === 'missing_field') context.missing(text.path ?? source.source);
  throw faultError(text, source);
}

/** The value of a template: that of a lone `{{ }}`, else text. @throws OuzelError EVENT_MISSING_FIELD, EVENT_EXPRESSION */
function valueOf(bound: BoundTemplate, source: Template, run: Run, context: OutgoingContext): unknown {
  const value = bound.value(run);
  if (!(value instanceof Fault)) return value;
  if (value.kind === 'missing_field') context.missing(value.path ?? source.source);
  throw faultError(value, source);
}

/**
 * Binds a tree of templates: what it returns makes a JSON value of it. An empty optional leaves its key out.
 * It throws OuzelError EVENT_MISSING_FIELD, EVENT_EXPRESSION.
 */
export function bindTree(tree: TemplateTree, context: OutgoingContext): (run: Run) => unknown {
  if (tree instanceof Template) {
    const bound = context.bindTemplate(tree);
    return (run) => valueOf(bound, tree, run, context);
  }
  if (typeof tree !== 'object' || tree === null) return () => tree;
  if (Array.isArray(tree)) {
    const items = (tree as readonly TemplateTree[]).map((each) => bindTree(each, context));
    return (run) => items.map((each) => each(run));
  }
  const entries = Object.entries(tree).map(([key, each]) => [key, bindTree(each, context)] as const);
  return (run) =>
    Object.fromEntries(
      entries.map(([key, each]) => [key, each(run)] as const).filter(([, value]) => value !== undefined),
    );
}

/** The subject of a template. @throws OuzelError EVENT_INVALID_SUBJECT, EVENT_MISSING_FIELD, EVENT_EXPRESSION */
export function subjectOf(bound: BoundTemplate, source: Template, scope: Scope, context: OutgoingContext): string {
  if (source.constant !== undefined) return source.constant;
  const text = bound.text(scope, (value) => TOKEN.test(value));
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

/** How often something was sent by Ouzel, by its `Ouzel-Hops`. */
export const hopsIn = (header: string | undefined): number =>
  // Whoever sends can write anything there: a number below zero would be a way around the bound.
  Math.max(0, Number.parseInt(header ?? '0', 10) || 0);

/** How often the event was published by Ouzel. @throws OuzelError EVENT_HOPS */
export function hopsOf(event: Event): number {
  const hops = hopsIn(event.header('Ouzel-Hops'));
  if (hops >= MAX_HOPS)
    throw new OuzelError('EVENT_HOPS', `the event was published by Ouzel ${hops} times already: a loop of consumers?`);
  return hops;
}

/** The most of them over all events of a delivery. @throws OuzelError EVENT_HOPS */
export const mostHops = ({ event, together }: Run): number =>
  together === undefined ? hopsOf(event) : Math.max(...together.map((member) => hopsOf(member.event)));

/** Tells whoever receives it that it comes from a replay, and of which name. */
export const REPLAY_HEADER = 'Ouzel-Replay';

/** The header line of a replay; empty for what is none. */
export function replayLine({ id }: Pick<Run, 'id'>): string {
  const name = id === '' ? undefined : replayOf(id);
  return name === undefined ? '' : headerLine(REPLAY_HEADER, name);
}

export const bindHeaders = (
  headers: Readonly<Record<string, Template>> | undefined,
  context: OutgoingContext,
): readonly BoundHeader[] =>
  Object.entries(headers ?? {}).map(([name, each]) => [name, context.bindTemplate(each), each]);

/** What the event itself says of its trace. */
export function traceOf(event: Event): Pick<TraceContext, 'traceparent' | 'tracestate'> | undefined {
  const traceparent = event.header('traceparent');
  return traceparent === undefined ? undefined : { traceparent, tracestate: event.header('tracestate') };
}

/** The headers of a trace context, as W3C Trace Context names them; none where the configuration sets its own. */
export function traceHeaders(
  trace: Pick<TraceContext, 'traceparent' | 'tracestate'> | undefined,
  own: ReadonlySet<string>,
): string {
  if (trace === undefined || own.has('traceparent')) return '';
  const { traceparent, tracestate } = trace;
  return `${headerLine('traceparent', traceparent)}${tracestate === undefined ? '' : headerLine('tracestate', tracestate)}`;
}

/** How the deliveries of a route are shown in a trace: by the subject as it is configured, never by event data. */
export function spanOf({ constant, source }: Template, operation: 'publish' | 'request'): SpanDescription {
  const destination = constant ?? source;
  return {
    kind: operation === 'publish' ? 'producer' : 'client',
    name: `${operation} ${destination}`,
    attributes: {
      [ATTRIBUTES.system]: MESSAGING_SYSTEM,
      [ATTRIBUTES.operationType]: 'send',
      [ATTRIBUTES.operationName]: operation,
      [constant === undefined ? ATTRIBUTES.destinationTemplate : ATTRIBUTES.destinationName]: destination,
    },
  };
}
