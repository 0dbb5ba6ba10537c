/** `fetch` for plugins: kept from addresses that nobody on the public internet has, and bounded in time and size. */
import type { Agent, fetch as undiciFetch, Response as UndiciResponse } from 'undici';
import { UnavailableError } from './errors.ts';
import { callSignal } from './stray.ts';

/** As the global `fetch`, for `http:` and `https:`. */
export type PluginFetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

/** Bytes of an answer. */
const MAX_ANSWER = 10_485_760;
/** Milliseconds for a connection. Beyond that, the attempt's own time is the bound. */
const CONNECT = 10_000;

interface Client {
  readonly agent: Agent;
  readonly fetch: typeof undiciFetch;
}

/**
 * @param allowPrivate Whether private, loopback and special addresses may be asked.
 * @param ended Aborted when the setup is not used any more: then the connections are closed.
 */
export function guardedFetch(allowPrivate: boolean, ended: AbortSignal): PluginFetch {
  let client: Promise<Client> | undefined;
  const open = async (): Promise<Client> => {
    // Loaded by the first who asks: a plugin that does not pays nothing.
    const { Agent, buildConnector, fetch } = await import('undici');
    const { guardedConnector } = await import('../deliver/http/client.ts');
    const connect = guardedConnector(
      buildConnector,
      CONNECT,
      allowPrivate,
      '`allow_private: true` where the plugin is named',
    );
    const agent = new Agent({ connect, maxResponseSize: MAX_ANSWER, headersTimeout: 0, bodyTimeout: 0 });
    ended.addEventListener('abort', () => void agent.close().catch(() => undefined), { once: true });
    return { agent, fetch };
  };
  return async (url, init = {}) => {
    const { protocol } = new URL(url);
    if (protocol !== 'http:' && protocol !== 'https:')
      throw new TypeError(`fetch asks http and https, not ${protocol}`);
    const { agent, fetch } = await (client ??= open());
    const signals = [callSignal(), init.signal].filter((signal) => signal instanceof AbortSignal);
    const headers = new Headers(init.headers);
    // What is packed may be far larger than what came.
    if (!headers.has('accept-encoding')) headers.set('accept-encoding', 'identity');
    const response = await fetch(url, {
      ...(init as object),
      headers: [...headers],
      dispatcher: agent,
      ...(signals.length === 0 ? {} : { signal: AbortSignal.any(signals) }),
    });
    return bounded(response);
  };
}

/** The same response, whose body ends with an error when it becomes too large. */
function bounded(response: UndiciResponse): Response {
  const { body, status, statusText, headers, url } = response;
  let size = 0;
  const counted = (body as ReadableStream<Uint8Array> | null)?.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        size += chunk.length;
        if (size <= MAX_ANSWER) return controller.enqueue(chunk);
        controller.error(
          new UnavailableError(`the answer of ${new URL(url).origin} has more than ${MAX_ANSWER} bytes`),
        );
      },
    }),
  );
  const copy = new Response(counted ?? null, { status, statusText, headers: [...headers] });
  return Object.defineProperty(copy, 'url', { value: url });
}
