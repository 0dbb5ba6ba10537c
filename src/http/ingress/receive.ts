/** A request to a webhook, from its headers to the streams that have its events. */
import {
  BATCH,
  dataIn,
  type IncomingEvent,
  modeOf,
  readCloudEvents,
  STRUCTURED,
} from '../../contracts/cloudevents-http.ts';
import { post, type Posted, type Stored } from '../../contracts/post.ts';
import { headerBlock, headerLine } from '../../core/headers.ts';
import { stringifyJson } from '../../core/json.ts';
import { hopsIn, MAX_HOPS } from '../../deliver/outgoing.ts';
import type { Publisher } from '../../deliver/ports.ts';
import { OuzelError } from '../../errors.ts';
import type { RequestView } from '../../expression/index.ts';
import type { Message, Origin } from '../../sources/publish.ts';
import type { PostedCheck } from '../../reconcile/posted.ts';
import type { Webhook } from '../../sources/registry.ts';
import type { ContentKind } from '../../sources/webhook.ts';
import { HttpError } from '../problem.ts';
import { checkEncoding, fieldsOf, kindOf, mediaOf, textOf, valueOf } from './body.ts';

/** A request as it comes in. */
export interface Incoming {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** Reads the body. @throws HttpError */
  readonly read: (limit: number) => Promise<Buffer>;
  /** Header lines of the trace that the messages are part of. */
  readonly trace: string;
  readonly check: PostedCheck;
  /** @throws OuzelError NATS_UNAVAILABLE */
  readonly publisher: () => Publisher;
}

/** What is answered with 200. */
export interface Received {
  readonly body: unknown;
  /** Whether all of it was there before. */
  readonly duplicate: boolean;
}

/** A request that is not from whom the source expects. */
export class Unverified extends HttpError {
  /** For the log alone. */
  readonly reason: string;

  constructor(reason: string) {
    super(401, 'the request could not be verified', 'WEBHOOK_UNVERIFIED');
    this.reason = reason;
  }
}

/**
 * Takes a request: each of its events is in a stream when this resolves.
 *
 * @throws Unverified; HttpError 400, 405, 413, 415, 429, 503; OuzelError EVENT_* (422), TARGET_*, NATS_UNAVAILABLE
 */
export async function receive(webhook: Webhook, incoming: Incoming): Promise<Received> {
  const { options, verifier } = webhook;
  const { headers, method } = incoming;
  if (!(options.methods as readonly string[]).includes(method))
    throw new HttpError(405, `${incoming.path} takes ${options.methods.join(', ')}`, 'USAGE', {
      allow: options.methods.join(', '),
    });
  if (!verifier.needsBody) await check(webhook, headers, Buffer.alloc(0));
  checkEncoding(headers);
  const media = mediaOf(headers.get('content-type'));
  const mode = options.content_types.includes('cloudevents') ? modeOf(media, headers) : undefined;
  const kind = mode === undefined ? kindOf(media) : 'cloudevents';
  const body = await readable(webhook, incoming, kind, media);
  if (verifier.needsBody) await check(webhook, headers, body);
  const wait = webhook.rate?.take(performance.now()) ?? 0;
  if (wait > 0)
    throw new HttpError(429, 'more comes in than this source takes', 'RATE_LIMITED', {
      'retry-after': String(Math.ceil(wait / 1000)),
    });
  const hops = hopsIn(headers.get('ouzel-hops'));
  if (hops > MAX_HOPS)
    throw new OuzelError('EVENT_HOPS', `the event was sent by Ouzel ${hops} times already: a loop of consumers?`);
  const common =
    headerLine('Ouzel-Source', webhook.name) +
    (hops > 0 ? headerLine('Ouzel-Hops', String(hops)) : '') +
    incoming.trace;
  const now = Date.now();
  if (mode !== undefined) {
    const events = readCloudEvents(mode, headers, body, () => textOf(body));
    const messages = events.map((event) => {
      const view = viewOf(incoming, mode === 'binary' ? event.document['data'] : event.document, event.document);
      return webhook.message({ request: view }, originOf(event), now);
    });
    return answered(await stored(webhook, messages, common, incoming, dataIn(mode)), mode === 'batch');
  }
  const view = viewOf(incoming, valueOf(kind, body), undefined);
  const handshake = verifier.handshake?.(view);
  if (handshake !== undefined) return { body: handshake, duplicate: false };
  const origin = { id: verifier.idOf?.(view), ...bodyOf(kind, headers, view, body) };
  const message = webhook.message({ request: view }, origin, now);
  return answered(await stored(webhook, [message], common, incoming, dataIn('binary')), false);
}

/** The body, where it is one that is taken. @throws HttpError 415, and as `read` */
async function readable(
  { options }: Webhook,
  { headers, read }: Incoming,
  kind: ContentKind,
  media: string,
): Promise<Buffer> {
  const taken = options.content_types;
  const isTaken = taken.includes(kind) || (taken.includes('raw') && kind !== 'cloudevents');
  const isEmpty =
    headers.get('content-length') === '0' || !(headers.has('content-length') || headers.has('transfer-encoding'));
  if (isTaken || (media === '' && isEmpty)) return read(options.max_body);
  const what = media === '' ? 'the body has no content type' : `the body is ${media}`;
  const also = media === STRUCTURED || media === BATCH ? ' (cloudevents is not among its content_types)' : '';
  throw new HttpError(415, `${what}; this takes ${taken.join(', ')}${also}`);
}

async function check({ verifier }: Webhook, headers: ReadonlyMap<string, string>, body: Buffer): Promise<void> {
  const refused = await verifier.verify({ headers, body, now: Date.now() });
  if (refused !== undefined) throw new Unverified(refused);
}

const viewOf = ({ method, path, query, headers }: Incoming, body: unknown, event: unknown): RequestView => ({
  method,
  path,
  query: fieldsOf(query),
  headers,
  body,
  event,
});

const originOf = ({ id, source, headers, body }: IncomingEvent): Origin => ({
  // Only the two together name an event.
  id: `${source}#${id}`,
  describing: headers,
  body,
});

/** The body as a message has it: as it came, but for a form, which nobody behind a stream could read. */
function bodyOf(
  kind: ContentKind,
  headers: ReadonlyMap<string, string>,
  view: RequestView,
  body: Buffer,
): Pick<Origin, 'describing' | 'body'> {
  if (kind === 'form')
    return { describing: headerLine('Content-Type', 'application/json'), body: stringifyJson(view.body) };
  const type = headers.get('content-type');
  return { describing: type === undefined ? '' : headerLine('Content-Type', type), body };
}

/** Puts messages into their streams, those that are not there yet. @throws OuzelError where one could not be stored */
async function stored(
  { memory, timeout }: Webhook,
  messages: readonly Message[],
  common: string,
  { publisher, check }: Incoming,
  dataAt: (index: number) => string,
): Promise<Stored[]> {
  const posted = messages.map((message) => postedOf(message, common));
  posted.forEach((each, index) => check(each, dataAt(index)));
  const through = publisher();
  const results = await Promise.allSettled(
    messages.map(async (message, index) => {
      const known = message.id === undefined ? undefined : memory.get(message.id);
      if (known !== undefined) return known;
      const result = await post(posted[index] ?? postedOf(message, common), through, timeout);
      if (message.id !== undefined) memory.add(message.id, result);
      return result;
    }),
  );
  const failed = results.find((each) => each.status === 'rejected');
  if (failed !== undefined) throw unavailable(failed.reason);
  return results.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
}

function postedOf({ subject, id, headers, body }: Message, common: string): Posted {
  const lines = (id === undefined ? '' : headerLine('Nats-Msg-Id', id)) + common + headers;
  return { subject, headers: headerBlock(lines), body };
}

/** A stream that is not there is made again, or comes back: the sender is to try again. */
function unavailable(error: unknown): unknown {
  if (!(error instanceof OuzelError) || error.code !== 'TARGET_NO_STREAM') return error;
  return new HttpError(503, error.message, error.code);
}

const answered = (all: readonly Stored[], isBatch: boolean): Received => ({
  body: isBatch ? { events: all } : all[0],
  duplicate: all.length > 0 && all.every(({ duplicate }) => duplicate),
});
