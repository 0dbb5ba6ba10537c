/** `POST /events`: CloudEvents of whoever may publish them, each into the stream of its type. */
import { dataIn, type IncomingEvent, modeOf, readCloudEvents } from '../../contracts/cloudevents-http.ts';
import { post, type Stored, subjectOfType } from '../../contracts/post.ts';
import { headerBlock, headerLine } from '../../core/headers.ts';
import type { Config } from '../../config/schema.ts';
import { OuzelError } from '../../errors.ts';
import { HttpError } from '../problem.ts';
import { checkEncoding, fieldsOf, mediaOf, textOf } from './body.ts';
import type { Incoming, Received } from './receive.ts';

/** Bytes of a body, at most. */
const LARGEST = 8 * 1024 * 1024;

/**
 * Stores what was posted.
 *
 * @throws HttpError, OuzelError as a webhook; HttpError 403 for a type that the sender may not publish
 */
export async function postEvents(
  config: Config,
  incoming: Incoming,
  may: (type: string) => boolean,
): Promise<Received & { readonly status: 200 | 201 }> {
  const { headers, read, publisher, check, trace, query } = incoming;
  checkEncoding(headers);
  const mode = modeOf(mediaOf(headers.get('content-type')), headers);
  if (mode === undefined)
    throw new HttpError(
      415,
      'this takes CloudEvents: application/cloudevents+json, application/cloudevents-batch+json, or ce- headers',
    );
  const body = await read(LARGEST);
  const destination = destinationOf(query);
  const events = readCloudEvents(mode, headers, body, () => textOf(body));
  const messages = events.map((event) => {
    if (!may(event.type)) throw new HttpError(403, `may not publish events of type ${event.type}`, 'FORBIDDEN');
    const subject = subjectOfType(config, event.type, destination);
    return { subject, headers: headerBlock(linesOf(event) + trace), body: event.body };
  });
  messages.forEach((message, index) => check(message, dataIn(mode)(index)));
  const through = publisher();
  const results = await Promise.allSettled(
    messages.map(async (message) => ({ ...(await post(message, through)), subject: message.subject })),
  );
  const failed = results.find((each) => each.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  const all = results.flatMap((each): (Stored & { subject: string })[] =>
    each.status === 'fulfilled' ? [each.value] : [],
  );
  const duplicate = all.every((each) => each.duplicate);
  return { status: duplicate ? 200 : 201, body: mode === 'batch' ? { events: all } : all[0], duplicate };
}

/** Only the two together name an event. */
const linesOf = ({ source, id, headers }: IncomingEvent): string =>
  headerLine('Nats-Msg-Id', `${source}#${id}`) + headers;

/** @throws OuzelError USAGE */
function destinationOf(query: string): { readonly subject?: string; readonly stream?: string } {
  const { subject, stream, ...others } = fieldsOf(query);
  const [other] = Object.keys(others);
  if (other !== undefined)
    throw new OuzelError('USAGE', `there is no parameter "${other}"; there are subject and stream`);
  if (Array.isArray(subject) || Array.isArray(stream)) throw new OuzelError('USAGE', 'a parameter stands once');
  return {
    ...(typeof subject === 'string' ? { subject } : {}),
    ...(typeof stream === 'string' ? { stream } : {}),
  };
}
