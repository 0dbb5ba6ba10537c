import { z } from 'zod';
import { duration } from '../../config/fields.ts';
import { headerBlock, headerStatus, headerValue } from '../../core/headers.ts';
import { parseJson } from '../../core/json.ts';
import type { Reply } from '../../deliver/ports.ts';
import { OuzelError } from '../../errors.ts';
import { type Answer, defineSource, MISSING } from '../source.ts';
import { keyText } from '../tables/parse.ts';

/** A key as every client of KV takes it; others are in no bucket. Longer ones do not fit into a subject. */
const KEY = /^(?!\.)(?!.*\.(?:\.|$))[-/_=.A-Za-z0-9]{1,512}$/;

const bucket = () => z.string().regex(/^[A-Za-z0-9_-]+$/, { error: 'a bucket has letters, digits, - and _' });

const long = z.strictObject({
  bucket: bucket().describe('The bucket.'),
  timeout: duration().default(5000).describe('How long to wait for the answer.'),
});

const decoder = new TextDecoder('utf-8', { fatal: true });

/** JSON where it can be, else text. */
function valueOf(body: Uint8Array, where: string): Answer {
  let text: string;
  try {
    text = decoder.decode(body);
  } catch {
    throw new OuzelError('TARGET_REJECTED', `${where} holds bytes that are no text`);
  }
  try {
    return { value: parseJson(text), size: body.length };
  } catch {
    return { value: text, size: body.length };
  }
}

/** The answer of a direct get (ADR-31). @throws OuzelError */
function answerOf({ headers, body }: Reply, where: string): Answer {
  if (headers === undefined) throw new OuzelError('TARGET_UNAVAILABLE', `${where}: an answer that is none of a stream`);
  const status = headerStatus(headers);
  if (status === 404) return MISSING;
  // A message of the stream has none.
  if (status !== 0) throw new OuzelError('TARGET_UNAVAILABLE', `${where}: the server answered ${status}`, { status });
  // The mark of a key that was deleted, by a client or by the server.
  if (headerValue(headers, 'KV-Operation') !== undefined || headerValue(headers, 'Nats-Marker-Reason') !== undefined)
    return MISSING;
  return valueOf(body, where);
}

/** A value of a key-value bucket. */
export const kv = defineSource({
  name: 'kv',
  summary: 'A bucket of JetStream KV: the value of the key, JSON where it can be, else text.',
  example: 'customers',
  options: z
    .union([bucket(), long])
    .transform((value) => (typeof value === 'string' ? long.parse({ bucket: value }) : value)),
  needsKey: () => true,
  prepare({ bucket: name, timeout }, { requester, domain }) {
    const api = domain === undefined ? '$JS.API' : `$JS.${domain}.API`;
    return {
      question(_run, key) {
        const text = keyText(key);
        if (text === undefined || !KEY.test(text)) return MISSING;
        const where = `key ${text} of the bucket ${name}`;
        const subject = `${api}.DIRECT.GET.KV_${name}.$KV.${name}.${text}`;
        return {
          id: text,
          ask: async () => {
            const { promise, resolve, reject } = Promise.withResolvers<Reply>();
            requester.request(subject, headerBlock(''), '', timeout, {
              replied: resolve,
              failed: ({ code, message, status }) => {
                const problem = /nobody answers/.test(message) ? NOBODY : message;
                reject(new OuzelError(code, `${where}: ${problem}`, { status }));
              },
            });
            return answerOf(await promise, where);
          },
          preview: () => ({ action: `get ${where}` }),
        };
      },
    };
  },
});

const NOBODY = 'there is no such bucket, or it has no direct get (allow_direct)';
