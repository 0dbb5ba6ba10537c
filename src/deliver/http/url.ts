/**
 * URLs with expressions in them. Who is talked to is always said by the configuration alone: expressions stand in path
 * and query only, and what they put in is percent-encoded, so that it stays one segment of the path or one value.
 */
import { type IssueDetails, template } from '../../config/fields.ts';
import type { Run } from '../../core/run.ts';
import { OuzelError } from '../../errors.ts';
import { type BoundTemplate, Fault, type ScopeKind, type Template } from '../../expression/index.ts';
import { faultError } from '../../pipeline/faults.ts';
import type { OutgoingContext } from '../outgoing.ts';

/** Stands for an expression; no URL may hold it. */
const EXPRESSION = '\u0001';

/** Characters of a URL at most: servers refuse longer ones. */
const LONGEST_URL = 8192;

/** What a URL parser takes for nothing at all or for a slash, less the mark of an expression. */
// oxlint-disable-next-line no-control-regex -- control characters are among what must not stand in a URL
const MISREAD = /[\u0000\u0002-\u0020\u007f\\]/;

/** `scheme://authority`, and what follows. */
const PARTS = /^(https?):\/\/([^/?#]+)(.*)$/is;

/** A segment that leads elsewhere: `.` and `..`, however they are written. */
const DOTS = /^(?:\.|%2e){1,2}$/i;

/** Why a template cannot be the URL of a target; undefined when it can. Shows nothing of it. */
function problemOf(source: Template): string | undefined {
  const text = source.skeleton(EXPRESSION);
  const [, , authority = '', rest = ''] = PARTS.exec(text) ?? [];
  if (authority === '') return 'must begin with http:// or https:// and a host';
  if (authority.includes(EXPRESSION))
    return 'has an expression in its host: only path and query may depend on the event, behind a slash';
  if (MISREAD.test(text)) return 'holds a space, a backslash or a control character; write it percent-encoded';
  if (rest.includes('#')) return 'has a fragment (#…), which is never sent';
  if (!URL.canParse(text.replaceAll(EXPRESSION, 'x'))) return 'is not a valid URL';
  return undefined;
}

/** The URL of a target. */
export const urlTemplate = (scope: ScopeKind = 'event') =>
  template(scope)
    .superRefine((value, context) => {
      const problem = problemOf(value);
      const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE' };
      if (problem !== undefined)
        context.addIssue({ code: 'custom', message: `the URL ${problem}`, params: { ...params } });
    })
    .describe(
      'Where to send: http or https. Expressions may stand in the path and the query only; what they put in is percent-encoded, so a slash in it does not begin a new segment. A segment that becomes empty, `.` or `..` is refused.',
    );

/** A URL that the template stands for, with `x` in place of each expression: its host is the real one. */
const exampleUrl = (source: Template): URL => new URL(source.skeleton('x'));

/** The host of a template that is valid, as it will be connected to; undefined for another. */
export const hostOf = (source: Template): string | undefined => URL.parse(source.skeleton('x'))?.hostname;

/** The segments of the path in a text that begins with an origin. */
const segmentsOf = (text: string): string[] => {
  const [, , , rest = ''] = PARTS.exec(text) ?? [];
  return (rest.split('?')[0] ?? '').split('/');
};

const encode = (value: string): string => encodeURIComponent(value.toWellFormed());

/** The URL of a target, ready to be made for one event after another. */
export class TargetUrl {
  /** `https://partner.example`: never with credentials. */
  readonly origin: string;
  readonly hostname: string;
  /** `user:password` as it stands in the URL, decoded; undefined when it has none. */
  readonly credentials: { readonly user: string; readonly password: string } | undefined;
  readonly #source: Template;
  readonly #bound: BoundTemplate;
  readonly #context: OutgoingContext;
  readonly #segments: readonly string[];
  readonly #constant: URL | undefined;

  constructor(source: Template, context: OutgoingContext) {
    const { origin, hostname, username, password } = exampleUrl(source);
    this.origin = origin;
    this.hostname = hostname;
    this.credentials =
      username === '' && password === '' ? undefined : { user: decoded(username), password: decoded(password) };
    this.#source = source;
    this.#context = context;
    this.#bound = context.bindTemplate(source);
    this.#segments = segmentsOf(source.skeleton(EXPRESSION));
    this.#constant = source.constant === undefined ? undefined : new URL(source.constant);
  }

  /** The URL for an event. @throws OuzelError EVENT_INVALID_URL, EVENT_MISSING_FIELD, EVENT_EXPRESSION */
  of(run: Run): URL {
    if (this.#constant !== undefined) return this.#constant;
    const text = this.#bound.text(run, undefined, encode);
    if (text instanceof Fault) throw this.#fault(text);
    if (text.length > LONGEST_URL) throw this.#invalid(`is ${text.length} characters long`);
    for (const [index, segment] of segmentsOf(text).entries()) {
      if (!this.#segments[index]?.includes(EXPRESSION)) continue;
      if (segment === '') throw this.#invalid('has an empty segment where an expression stands');
      if (DOTS.test(segment)) throw this.#invalid(`has the segment \`${segment}\`, which leads to another path`);
    }
    const url = new URL(text);
    // Cannot happen; were it to, somebody else would get the event.
    if (url.origin !== this.origin) throw this.#invalid('leads to another host');
    return url;
  }

  /** The template without credentials and query, for errors. */
  get #shown(): string {
    return this.origin + this.#segments.join('/').replaceAll(EXPRESSION, '{…}');
  }

  #invalid(problem: string): OuzelError {
    return new OuzelError('EVENT_INVALID_URL', `the URL ${this.#shown} ${problem}`, { place: this.#source.place });
  }

  #fault(fault: Fault): OuzelError {
    if (fault.kind === 'missing_field') this.#context.missing(fault.path ?? 'url');
    const { place } = this.#source;
    return faultError(fault, { source: this.#shown, ...(place === undefined ? {} : { place }) });
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
