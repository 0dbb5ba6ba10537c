import { type IncomingMessage, request } from 'node:http';
import { releasing } from './resources.ts';
import { waitFor } from './wait.ts';

export interface ServerSentEvent {
  readonly name: string;
  readonly data: unknown;
}

/** What a server sends, as long as it does. */
export interface EventSource extends AsyncDisposable {
  readonly status: number;
  /** The whole answer, where it is no stream. */
  readonly body: string;
  readonly events: readonly ServerSentEvent[];
  /** The data of the events of this name. */
  dataOf(name: string): Record<string, unknown>[];
  readonly closed: boolean;
  /** Reads no more for now, so that the server has to wait. */
  pause(): void;
  resume(): void;
}

/** Asks for server-sent events. It is closed when the test ends. */
export async function openEvents(url: string, headers: Readonly<Record<string, string>> = {}): Promise<EventSource> {
  const events: ServerSentEvent[] = [];
  let text = '';
  let body = '';
  let closed = false;
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const asked = request(url, { headers }, resolve);
  asked.on('error', (error) => (closed ? undefined : reject(error)));
  asked.end();
  const response = await promise;
  response.setEncoding('utf8').on('data', (chunk: string) => {
    body += chunk;
    const blocks = (text + chunk).split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const [, name, data] = /^event: (.*)\ndata: (.*)$/m.exec(block) ?? [];
      if (name !== undefined && data !== undefined) events.push({ name, data: JSON.parse(data) as unknown });
    }
  });
  response.on('close', () => (closed = true)).on('error', () => (closed = true));
  const close = releasing(async () => {
    closed = true;
    asked.destroy();
    await Promise.resolve();
  });
  const status = response.statusCode ?? 0;
  const source: EventSource = {
    status,
    events,
    get body() {
      return body;
    },
    get closed() {
      return closed;
    },
    dataOf: (wanted) => events.filter(({ name }) => name === wanted).map(({ data }) => data as Record<string, unknown>),
    pause: () => void response.pause(),
    resume: () => void response.resume(),
    [Symbol.asyncDispose]: close,
  };
  if (status === 200) await waitFor(() => source.dataOf('open').length > 0, { what: 'the stream to open' });
  else await waitFor(() => closed, { what: 'the answer to end' });
  return source;
}
