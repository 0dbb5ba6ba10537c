/** Batches over HTTP, as OTLP says: what is retried, how long to wait, and what a partial success means. */
import { type Agent as HttpAgent, request as requestHttp } from 'node:http';
import { type Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Sender, SendResult } from './exporter.ts';

export interface HttpSettings {
  readonly url: string;
  readonly headers: () => Promise<Readonly<Record<string, string>>>;
  readonly agent: HttpAgent | HttpsAgent;
  readonly gzip: boolean;
  /** Milliseconds that one request may take. */
  readonly timeout: number;
  /** Reads the body of a good answer. @throws when it is none */
  readonly readAnswer: (body: Uint8Array) => { readonly rejected: number; readonly reason: string };
}

/** Status codes that ask for another try (OTLP/HTTP, "Retryable Response Codes"). */
const AGAIN = new Set([429, 502, 503, 504]);
/** Bytes of an answer that are read at most. */
const LONGEST_ANSWER = 64 * 1024;
/** Milliseconds that a collector can ask us to wait at most. */
const LONGEST_WAIT = 60_000;

const compress = promisify(gzip);

function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const seconds = Number(header);
  const delay = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(delay) && delay > 0 ? Math.min(delay, LONGEST_WAIT) : undefined;
}

/** Sends to one URL over connections that are kept. */
export function createHttpSender(settings: HttpSettings): Sender {
  const { url, agent, timeout, readAnswer } = settings;
  const request = url.startsWith('https:') ? requestHttps : requestHttp;

  const post = (body: Uint8Array, headers: Readonly<Record<string, string>>): Promise<SendResult> =>
    new Promise((resolve) => {
      const outgoing = request(
        url,
        { method: 'POST', agent, headers: { ...headers, 'Content-Length': String(body.length) } },
        (answer) => {
          const chunks: Buffer[] = [];
          let length = 0;
          answer.on('data', (chunk: Buffer) => {
            length += chunk.length;
            if (length <= LONGEST_ANSWER) chunks.push(chunk);
          });
          answer.on('error', (error) => resolve({ kind: 'again', reason: error.message, after: undefined }));
          answer.on('end', () => {
            const { statusCode = 0, headers: received } = answer;
            if (statusCode >= 200 && statusCode < 300) return resolve(taken(Buffer.concat(chunks)));
            const reason = `HTTP ${statusCode}`;
            if (AGAIN.has(statusCode)) resolve({ kind: 'again', reason, after: retryAfter(received['retry-after']) });
            else resolve({ kind: 'refused', reason });
          });
        },
      );
      outgoing.setTimeout(timeout, () => outgoing.destroy(new Error(`no answer within ${timeout} ms`)));
      outgoing.on('error', (error) => resolve({ kind: 'again', reason: describe(error), after: undefined }));
      outgoing.end(body);
    });

  const taken = (body: Uint8Array): SendResult => {
    try {
      return { kind: 'taken', ...readAnswer(body) };
    } catch {
      // It said 2xx, and that counts.
      return { kind: 'taken', rejected: 0, reason: '' };
    }
  };

  return {
    async send(body) {
      try {
        const headers = await settings.headers();
        if (!settings.gzip) return await post(body, headers);
        return await post(await compress(body, { level: 1 }), { ...headers, 'Content-Encoding': 'gzip' });
      } catch (error) {
        // A header or URL that cannot be sent at all.
        return { kind: 'refused', reason: describe(error) };
      }
    },
    close: () => agent.destroy(),
  };
}

/** An error of several addresses has no message of its own. */
function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describe).join('; ');
  return error instanceof Error ? error.message : String(error);
}
