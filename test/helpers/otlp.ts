/**
 * A trace collector that reads what it gets with protobufjs, by the message and field numbers of OTLP
 * (opentelemetry/proto/collector/trace/v1/trace_service.proto and what that imports), and not with any code of ours.
 */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { gunzipSync } from 'node:zlib';
import protobuf from 'protobufjs';
import { freePort } from './ports.ts';
import { releasing } from './resources.ts';

const field = (id: number, type: string, rule?: 'repeated') => ({ id, type, ...(rule === undefined ? {} : { rule }) });

const ROOT = protobuf.Root.fromJSON({
  nested: {
    ExportTraceServiceRequest: { fields: { resourceSpans: field(1, 'ResourceSpans', 'repeated') } },
    ResourceSpans: {
      fields: {
        resource: field(1, 'Resource'),
        scopeSpans: field(2, 'ScopeSpans', 'repeated'),
        schemaUrl: field(3, 'string'),
      },
    },
    Resource: {
      fields: { attributes: field(1, 'KeyValue', 'repeated'), droppedAttributesCount: field(2, 'uint32') },
    },
    ScopeSpans: {
      fields: {
        scope: field(1, 'InstrumentationScope'),
        spans: field(2, 'Span', 'repeated'),
        schemaUrl: field(3, 'string'),
      },
    },
    InstrumentationScope: {
      fields: {
        name: field(1, 'string'),
        version: field(2, 'string'),
        attributes: field(3, 'KeyValue', 'repeated'),
        droppedAttributesCount: field(4, 'uint32'),
      },
    },
    Span: {
      fields: {
        traceId: field(1, 'bytes'),
        spanId: field(2, 'bytes'),
        traceState: field(3, 'string'),
        parentSpanId: field(4, 'bytes'),
        name: field(5, 'string'),
        kind: field(6, 'SpanKind'),
        startTimeUnixNano: field(7, 'fixed64'),
        endTimeUnixNano: field(8, 'fixed64'),
        attributes: field(9, 'KeyValue', 'repeated'),
        droppedAttributesCount: field(10, 'uint32'),
        events: field(11, 'Event', 'repeated'),
        droppedEventsCount: field(12, 'uint32'),
        links: field(13, 'Link', 'repeated'),
        droppedLinksCount: field(14, 'uint32'),
        status: field(15, 'Status'),
        flags: field(16, 'fixed32'),
      },
    },
    Event: {
      fields: {
        timeUnixNano: field(1, 'fixed64'),
        name: field(2, 'string'),
        attributes: field(3, 'KeyValue', 'repeated'),
        droppedAttributesCount: field(4, 'uint32'),
      },
    },
    Link: {
      fields: {
        traceId: field(1, 'bytes'),
        spanId: field(2, 'bytes'),
        traceState: field(3, 'string'),
        attributes: field(4, 'KeyValue', 'repeated'),
        droppedAttributesCount: field(5, 'uint32'),
        flags: field(6, 'fixed32'),
      },
    },
    Status: { fields: { message: field(2, 'string'), code: field(3, 'StatusCode') } },
    KeyValue: { fields: { key: field(1, 'string'), value: field(2, 'AnyValue') } },
    AnyValue: {
      oneofs: { value: { oneof: ['stringValue', 'boolValue', 'intValue', 'doubleValue', 'arrayValue'] } },
      fields: {
        stringValue: field(1, 'string'),
        boolValue: field(2, 'bool'),
        intValue: field(3, 'int64'),
        doubleValue: field(4, 'double'),
        arrayValue: field(5, 'ArrayValue'),
      },
    },
    ArrayValue: { fields: { values: field(1, 'AnyValue', 'repeated') } },
    SpanKind: { values: { UNSPECIFIED: 0, INTERNAL: 1, SERVER: 2, CLIENT: 3, PRODUCER: 4, CONSUMER: 5 } },
    StatusCode: { values: { UNSET: 0, OK: 1, ERROR: 2 } },
  },
});
const REQUEST = ROOT.lookupType('ExportTraceServiceRequest');

interface KeyValue {
  readonly key: string;
  readonly value?: { readonly stringValue?: string; readonly intValue?: string; readonly doubleValue?: number };
}

interface RawSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly KeyValue[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string; readonly flags: number }[];
  readonly status?: { readonly code?: string; readonly message?: string };
  readonly flags: number;
}

interface RawRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string; readonly version: string };
      readonly spans: readonly RawSpan[];
    }[];
  }[];
}

type Values = Readonly<Record<string, unknown>>;

/** A span as the collector understands it; ids are hexadecimal. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first span of a trace. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: string;
  /** Milliseconds since the epoch. */
  readonly start: number;
  readonly end: number;
  readonly attributes: Values;
  readonly links: readonly { readonly traceId: string; readonly spanId: string; readonly flags: number }[];
  /** UNSET, OK or ERROR. */
  readonly status: string;
  readonly statusMessage: string;
  readonly flags: number;
  readonly resource: Values;
  readonly scope: string;
}

const hex = (base64: string | undefined): string => Buffer.from(base64 ?? '', 'base64').toString('hex');

const valuesOf = (attributes: readonly KeyValue[] | undefined): Values =>
  Object.fromEntries(
    (attributes ?? []).map(({ key, value }) => [
      key,
      value?.stringValue ?? (value?.intValue === undefined ? value?.doubleValue : Number(value.intValue)),
    ]),
  );

/** Reads a request. @throws when it is not one */
export function decodeSpans(request: Uint8Array): ReceivedSpan[] {
  const raw = REQUEST.toObject(REQUEST.decode(request), {
    bytes: String,
    enums: String,
    longs: String,
  }) as RawRequest;
  return raw.resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ scope, spans }) =>
      spans.map((span) => ({
        traceId: hex(span.traceId),
        spanId: hex(span.spanId),
        parentSpanId: hex(span.parentSpanId),
        traceState: span.traceState ?? '',
        name: span.name,
        kind: span.kind,
        start: Number(span.startTimeUnixNano) / 1e6,
        end: Number(span.endTimeUnixNano) / 1e6,
        attributes: valuesOf(span.attributes),
        links: (span.links ?? []).map(({ traceId, spanId, flags }) => ({
          traceId: hex(traceId),
          spanId: hex(spanId),
          flags,
        })),
        status: span.status?.code ?? 'UNSET',
        statusMessage: span.status?.message ?? '',
        flags: span.flags,
        resource: valuesOf(resource.attributes),
        scope: `${scope.name} ${scope.version}`,
      })),
    ),
  );
}

export interface Collector extends AsyncDisposable {
  /** For `telemetry.traces.endpoint`. */
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  readonly requests: readonly {
    readonly path: string;
    readonly headers: IncomingHttpHeaders;
    readonly bytes: number;
  }[];
  /** All that came, as text: for what must not be in it. */
  text(): string;
  /** Status that it answers with; 200 at first. */
  answer: number;
}

/** Starts a collector. It goes when the test ends, or with `await using`. */
export async function startCollector(port?: number): Promise<Collector> {
  const spans: ReceivedSpan[] = [];
  const bodies: Buffer[] = [];
  const requests: { path: string; headers: IncomingHttpHeaders; bytes: number }[] = [];
  const listenOn = port ?? (await freePort());
  const collector = {
    url: `http://127.0.0.1:${listenOn}`,
    spans,
    requests,
    answer: 200,
    text: () => Buffer.concat(bodies).toString('latin1'),
    [Symbol.asyncDispose]: async (): Promise<void> => close(),
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const whole = Buffer.concat(chunks);
      const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(whole) : whole;
      requests.push({ path: request.url ?? '', headers: request.headers, bytes: whole.length });
      if (collector.answer === 200) {
        bodies.push(body);
        if (request.headers['content-type'] === 'application/x-protobuf') spans.push(...decodeSpans(body));
      }
      response.writeHead(collector.answer, { 'Content-Type': 'application/x-protobuf' }).end();
    });
  }).listen(listenOn, '127.0.0.1');
  await once(server, 'listening');
  const close = releasing(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  return collector;
}

/** The same over gRPC, as far as a test needs it: one unary call, no compression. */
export async function startGrpcCollector(): Promise<Pick<Collector, 'url' | 'spans'> & AsyncDisposable> {
  const spans: ReceivedSpan[] = [];
  const port = await freePort();
  const server = createHttp2Server();
  server.on('stream', (stream, { ':path': path }) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      // A message stands behind one byte of flags and four of length.
      if (path === '/opentelemetry.proto.collector.trace.v1.TraceService/Export')
        spans.push(...decodeSpans(Buffer.concat(chunks).subarray(5)));
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto' }, { waitForTrailers: true });
      stream.end(Buffer.alloc(5));
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const close = releasing(() => {
    server.close();
    return Promise.resolve();
  });
  return { url: `http://127.0.0.1:${port}`, spans, [Symbol.asyncDispose]: close };
}
