import { createHash } from 'node:crypto';
import { z } from 'zod';
import { optionalShape, present } from '../../config/components.ts';
import { duration, expression, type IssueDetails, template } from '../../config/fields.ts';
import type { Run } from '../../core/run.ts';
import { type Evaluate, type Expression, Fault, type Template, toText } from '../../expression/index.ts';
import { faultError } from '../../pipeline/faults.ts';
import { ATTRIBUTES } from '../../telemetry/names.ts';
import { defineTargetComponent, type TargetContext } from '../component.ts';
import type { Delivery } from '../delivery.ts';
import { specialHost } from '../http/addresses.ts';
import { messageIds } from '../ids.ts';
import { mailHostOf } from '../notify/email.ts';
import { services } from '../notify/index.ts';
import type { Note, PreparedService, Service } from '../notify/service.ts';
import { cleanLine, cleanText, cut } from '../notify/text.ts';
import { firstLine, type WindowOptions, Windows } from '../notify/windows.ts';
import type { PreparedTarget } from '../route.ts';

/** Characters of a title. */
const LONGEST_TITLE = 250;
/** How many of those held back are shown, where nobody says. */
const SHOWN = 5;
const SHOWN_MOST = 50;
/** Milliseconds. */
const WITHIN = 900_000;
const WITHIN_MOST = 86_400_000;

const within = () => duration({ min: 1000, max: WITHIN_MOST }).default(WITHIN);

const options = z
  .strictObject({
    ...optionalShape(services),
    message: template('delivery').describe(
      'What is said. What an expression puts in is escaped as the service needs it; the text around it may use its markup.',
    ),
    title: template('delivery').optional().describe('A line above it: the subject of a mail, the summary of an alert.'),
    dedupe: z
      .strictObject({
        by: expression('delivery').describe('What makes messages alike.'),
        within: within().describe('How long those like one that was sent are held back.'),
        show: z.number().int().min(1).max(SHOWN_MOST).default(SHOWN).describe('How many of those are shown then.'),
      })
      .optional()
      .describe(
        'The first message of its kind is sent at once. Those like it are held back, and one message at the end of the window says how many there were.',
      ),
    digest: z
      .strictObject({
        within: within().describe('How long messages are gathered.'),
        max: z.number().int().min(1).max(SHOWN_MOST).default(20).describe('How many of them are shown.'),
      })
      .optional()
      .describe('The first message is sent at once; all that come within the window are one message at its end.'),
    timeout: duration().default(10_000).describe('How long a delivery may take.'),
    allow_private: z
      .boolean()
      .default(false)
      .describe('Whether the service may have a private, loopback, link-local or otherwise special address.'),
  })
  .superRefine((value, context) => {
    present(value, context, services, 'exactly one');
    const say = (path: string[], message: string, hint?: string): void => {
      const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', ...(hint === undefined ? {} : { hint }) };
      context.addIssue({ code: 'custom', path, message, params: { ...params } });
    };
    if (value.dedupe !== undefined && value.digest !== undefined)
      say(['digest'], '`dedupe` and `digest` cannot stand together');
    const host = hostOf(value);
    const special = value.allow_private || host === undefined ? undefined : specialHost(host.name);
    if (host !== undefined && special !== undefined)
      say(
        [host.service, host.key],
        `${host.name} is ${special} address, and notifications go to public ones only`,
        'If that is meant, set `allow_private: true` beside it.',
      );
  });

type Options = z.output<typeof options>;

/** The host that a service is at, and what says so. */
function hostOf(value: object): { name: string; service: string; key: string } | undefined {
  const given = new Map<string, unknown>(Object.entries(value));
  for (const { name: service } of services) {
    const own = given.get(service) as { url?: unknown; host?: string; port?: number } | undefined;
    if (own === undefined) continue;
    const { url, ...rest } = own;
    const text = typeof url === 'string' ? url : undefined;
    const name =
      service === 'email'
        ? mailHostOf({ ...rest, ...(text === undefined ? {} : { url: text }) })
        : URL.parse(text ?? '')?.hostname;
    return name === undefined || name === '' ? undefined : { name, service, key: text === undefined ? 'host' : 'url' };
  }
  return undefined;
}

/** The kind that a message is of. A key that is long is stood for by its hash. */
function kindOf(by: Evaluate, source: Expression, run: Run, context: TargetContext): string {
  const value = by(run);
  if (value instanceof Fault) {
    if (value.kind !== 'missing_field') throw faultError(value, source);
    context.missing(value.path ?? source.source);
    return 'none';
  }
  const text = `:${toText(value)}`;
  return text.length <= 64 ? text : createHash('sha256').update(text).digest('base64');
}

const windowOptions = ({ dedupe, digest }: Options): WindowOptions | undefined => {
  if (dedupe !== undefined) return { within: dedupe.within, show: dedupe.show, lists: false };
  return digest === undefined ? undefined : { within: digest.within, show: digest.max, lists: true };
};

function prepareService(given: Options, context: TargetContext): { readonly name: string; made: PreparedService } {
  const own = new Map<string, unknown>(Object.entries(given));
  const service = (services as readonly Service[]).find(({ name }) => own.get(name) !== undefined) as Service;
  const { stream, consumer, route } = context;
  const made = service.prepare(own.get(service.name), {
    bindTemplate: (template) => context.bindTemplate(template),
    bind: (expression) => context.bind(expression),
    missing: (path) => context.missing(path),
    messageId: messageIds(stream, consumer, route),
    timeout: given.timeout,
    allowPrivate: given.allow_private,
    log: (fields, message) => context.log({ consumer, route, ...fields }, message),
  });
  return { name: service.name, made };
}

/** Makes the notes of a route. */
function noteWriter(given: Options, service: PreparedService, context: TargetContext): (run: Run) => Note {
  const messageId = messageIds(context.stream, context.consumer, context.route);
  const message = context.bindTemplate(given.message);
  const title = given.title === undefined ? undefined : context.bindTemplate(given.title);
  const rendered = (bound: ReturnType<TargetContext['bindTemplate']>, source: Template, run: Run): string => {
    const text = bound.text(run, undefined, service.encode);
    if (!(text instanceof Fault)) return text;
    if (text.kind === 'missing_field') context.missing(text.path ?? source.source);
    throw faultError(text, source);
  };
  return (run) => ({
    id: messageId(run),
    title:
      title === undefined || given.title === undefined
        ? undefined
        : cut(cleanLine(rendered(title, given.title, run)), LONGEST_TITLE),
    text: cleanText(rendered(message, given.message, run)),
    tail: undefined,
    more: service.more?.(run) ?? {},
  });
}

const lineOf = ({ title, text }: Note): string => firstLine(title === undefined ? text : `${title}: ${text}`);

/** Tells people. */
export const notify = defineTargetComponent({
  name: 'notify',
  batch: 'whole',
  summary:
    'Tells people: in Slack, Discord, Microsoft Teams, Telegram or ntfy, by PagerDuty or by e-mail; without a flood.',
  example:
    '{ slack: { url: "https://hooks.slack.com/services/T0/B0/x" }, message: "order {{ event.data.id }} failed" }',
  options,
  prepare(given, context): PreparedTarget {
    const { name, made: service } = prepareService(given, context);
    const noteOf = noteWriter(given, service, context);
    const held = windowOptions(given);
    const { consumer, route } = context;
    const windows =
      held &&
      new Windows(held, {
        send: (note, signal) => service.send(note, signal),
        excerpt: (note) => service.excerpt?.(note) ?? (held.lists ? lineOf(note) : firstLine(note.text)),
        log: (fields, message) => context.log({ consumer, route, ...fields }, message),
      });
    const by = given.dedupe === undefined ? undefined : context.bind(given.dedupe.by);
    const send = (delivery: Delivery, note: Note): void => {
      service.send(note, delivery.signal).then(
        () => delivery.confirm(),
        (error: unknown) => delivery.fail(error),
      );
    };
    const flush = (): Promise<void> => windows?.close() ?? Promise.resolve();
    return {
      span: {
        kind: 'client',
        name: `notify ${name}`,
        attributes: { [ATTRIBUTES.serverAddress]: service.hostname },
      },
      deliver(delivery) {
        const { run } = delivery;
        const note = noteOf(run);
        if (windows === undefined || service.urgent?.(note) === true) return send(delivery, note);
        const { dedupe } = given;
        const kind = by === undefined || dedupe === undefined ? '' : kindOf(by, dedupe.by, run, context);
        windows.deliver(delivery, note, kind);
      },
      preview: ({ run }) => service.preview(noteOf(run)),
      flush: () => flush(),
      close() {
        flush()
          .finally(() => service.close())
          .catch(() => undefined);
      },
    };
  },
});
