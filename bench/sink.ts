/** A collector that takes OTLP over HTTP, counts the spans in it, and forgets them. */
import { once } from 'node:events';
import { createServer } from 'node:http';

export interface Sink extends AsyncDisposable {
  /** For `telemetry.traces.endpoint`. */
  readonly url: string;
  /** Spans that arrived. */
  readonly spans: number;
}

/** Starts it on a free port. */
export async function startSink(): Promise<Sink> {
  let spans = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      spans += countSpans(Buffer.concat(chunks));
      response.writeHead(200, { 'Content-Type': 'application/x-protobuf' }).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    get spans() {
      return spans;
    },
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Spans in an ExportTraceServiceRequest: resource_spans (1), in it scope_spans (2), in it spans (2). */
function countSpans(request: Buffer): number {
  let count = 0;
  for (const resource of delimited(request, 1))
    for (const scope of delimited(resource, 2)) for (const _span of delimited(scope, 2)) count++;
  return count;
}

/** The length-delimited fields of this number in a message that has no other kinds of field at this level. */
function* delimited(message: Buffer, field: number): Generator<Buffer> {
  for (let at = 0; at < message.length;) {
    const tag = message[at++] ?? 0;
    if ((tag & 7) !== 2) throw new Error('not what an ExportTraceServiceRequest looks like');
    let length = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++] ?? 0;
      length += (byte & 127) * scale;
      if (byte < 128) break;
    }
    if (tag >> 3 === field) yield message.subarray(at, at + length);
    at += length;
  }
}
