/** What a source makes of a request, or of a tick: the message that it publishes. */
import { z } from 'zod';
import { duration, type IssueDetails, type TemplateTree, template, templateTree } from '../config/fields.ts';
import { checkSubject, postProblem } from '../contracts/post.ts';
import { headerLine } from '../core/headers.ts';
import { stringifyJson } from '../core/json.ts';
import { headerTemplates, render, subjectOf, subjectTemplate } from '../deliver/outgoing.ts';
import { OuzelError } from '../errors.ts';
import { Fault, type Scope, Template } from '../expression/index.ts';
import { faultError } from '../pipeline/faults.ts';

/** Characters of an id, at most. */
const LONGEST_ID = 512;

export const publishOptions = z.strictObject({
  subject: subjectTemplate('Subject to publish to.', 'source').superRefine(({ constant }, context) => {
    const problem = constant === undefined ? undefined : postProblem(constant);
    const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE' };
    if (problem !== undefined)
      context.addIssue({ code: 'custom', message: `the subject "${constant}" ${problem}`, params: { ...params } });
  }),
  id: template('source')
    .optional()
    .describe(
      'The id of the event (`Nats-Msg-Id`): one that was taken before is not stored again. Empty: it has none. Default: what the verifier calls the id, or `source#id` of a CloudEvent; of a tick, the schedule and its instant.',
    ),
  headers: headerTemplates('source'),
  data: templateTree('source')
    .optional()
    .describe(
      'The body, as JSON: in a mapping or list each text is a template. Default: the body as it came; of a tick, `{ schedule, instant }`.',
    ),
  timeout: duration({ max: 60_000 }).default(5000).describe('How long to wait for the PubAck.'),
});

export type PublishOptions = z.output<typeof publishOptions>;

/** What a message is made with, beside the request or tick. */
export interface Origin {
  /** Without `id` of the configuration. */
  readonly id: unknown;
  /** Header lines that describe the body as it came. */
  readonly describing: string;
  readonly body: string | Uint8Array;
}

/** A message, less what is the same for all of a request. */
export interface Message {
  readonly subject: string;
  readonly id: string | undefined;
  readonly headers: string;
  readonly body: string | Uint8Array;
}

/** What a source is asked to make an event of. */
export type Asked = Pick<Scope, 'request' | 'schedule'>;

/** Nothing of an event is there yet: expressions of a source cannot name these. */
const NOTHING = {} as Pick<Scope, 'event' | 'msg'>;
const NO_FILTERS = new Map<string, never>();

const scopeOf = (asked: Asked, now: number): Scope => ({ event: NOTHING.event, msg: NOTHING.msg, now, ...asked });

type Rendering = (scope: Scope) => unknown;

/** @throws OuzelError EVENT_MISSING_FIELD, EVENT_EXPRESSION when it is called */
function compileTree(tree: TemplateTree): Rendering {
  if (tree instanceof Template) {
    const bound = tree.bind(NO_FILTERS);
    return (scope) => {
      const value = bound.value(scope);
      if (value instanceof Fault) throw faultError(value, tree);
      return value;
    };
  }
  if (typeof tree !== 'object' || tree === null) return () => tree;
  if (Array.isArray(tree)) {
    const items = (tree as readonly TemplateTree[]).map(compileTree);
    return (scope) => items.map((item) => item(scope) ?? null);
  }
  const entries = Object.entries(tree as Readonly<Record<string, TemplateTree>>).map(
    ([key, each]) => [key, compileTree(each)] as const,
  );
  // An empty optional is not written. fromEntries defines own properties, whatever their name.
  return (scope): unknown =>
    Object.fromEntries(entries.map(([key, each]) => [key, each(scope)]).filter(([, value]) => value !== undefined));
}

/** Makes messages of requests or ticks. */
export type MessageMaker = (asked: Asked, origin: Origin, now: number) => Message;

/** Makes it ready. What it answers throws OuzelError EVENT_MISSING_FIELD, EVENT_EXPRESSION, EVENT_INVALID_SUBJECT. */
export function compilePublish(options: PublishOptions): MessageMaker {
  const context = { bindTemplate: (each: Template) => each.bind(NO_FILTERS), missing: () => undefined };
  const subject = context.bindTemplate(options.subject);
  const id = options.id?.bind(NO_FILTERS);
  const headers = Object.entries(options.headers ?? {}).map(([name, each]) => ({
    name,
    source: each,
    bound: each.bind(NO_FILTERS),
  }));
  const own = new Set(headers.map(({ name }) => name.toLowerCase()));
  const data = options.data === undefined ? undefined : compileTree(options.data);

  const idOf = (scope: Scope, given: unknown): string | undefined => {
    const text =
      id === undefined || options.id === undefined ? idText(given) : render(id, options.id, scope, context).trim();
    if (text.length > LONGEST_ID)
      throw new OuzelError(
        'EVENT_INVALID',
        `the id is ${text.length} characters long; at most ${LONGEST_ID} are taken`,
      );
    return text === '' ? undefined : text;
  };

  return (asked, { id: given, describing, body }, now) => {
    const scope = scopeOf(asked, now);
    const to = subjectOf(subject, options.subject, scope, context);
    checkSubject(to);
    const described = data === undefined ? describing : 'Content-Type: application/json\r\n';
    let lines = described
      .split(/(?<=\r\n)/)
      .filter((line) => !own.has(line.slice(0, line.indexOf(':')).toLowerCase()))
      .join('');
    for (const { name, source, bound } of headers) lines += headerLine(name, render(bound, source, scope, context));
    return {
      subject: to,
      id: idOf(scope, given),
      headers: lines,
      body: data === undefined ? body : stringifyJson(data(scope)),
    };
  };
}

/** An id that a sender gave: a text or a number. Anything else is none. */
const idText = (value: unknown): string =>
  typeof value === 'string' ? value.trim() : typeof value === 'number' ? String(value) : '';
