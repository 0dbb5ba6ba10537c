/** What OpenTelemetry's SDK makes of the OTEL_* variables: the resource, and how the collector is reached over HTTP. */
import { Agent as HttpAgent } from 'node:http';
import { convertLegacyHttpOptions } from '@opentelemetry/otlp-exporter-base/node-http';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import {
  defaultResource,
  detectResources,
  envDetector,
  hostDetector,
  osDetector,
  type Resource,
  resourceFromAttributes,
  serviceInstanceIdDetector,
} from '@opentelemetry/resources';
import { ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from '@opentelemetry/semantic-conventions';
import type { HttpSettings } from '../otlp/http.ts';
import type { Attributes } from '../span-record.ts';

/**
 * The resource of this process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before what is found. The detector of
 * the process is left out: a command line can hold secrets.
 */
export async function detectResource(version: string): Promise<Resource> {
  const own = resourceFromAttributes({ [ATTR_SERVICE_NAME]: 'ouzel', [ATTR_SERVICE_VERSION]: version });
  const found = detectResources({ detectors: [serviceInstanceIdDetector, hostDetector, osDetector, envDetector] });
  const resource = defaultResource().merge(own).merge(found);
  await resource.waitForAsyncAttributes?.();
  return resource;
}

/** The attributes of a resource that our own encoder writes. */
export const plainAttributes = ({ attributes }: Resource): Attributes =>
  Object.fromEntries(
    Object.entries(attributes).flatMap(([key, value]): [string, string | number][] =>
      typeof value === 'string' || typeof value === 'number'
        ? [[key, value]]
        : value == null
          ? []
          : [[key, JSON.stringify(value)]],
    ),
  );

/** @param url Of the traces endpoint; undefined: as the environment says. */
export async function httpSettings(url: string | undefined): Promise<HttpSettings> {
  const options = convertLegacyHttpOptions(url === undefined ? {} : { url }, 'TRACES', 'v1/traces', {
    'Content-Type': 'application/x-protobuf',
  });
  const { protocol } = new URL(options.url);
  return {
    url: options.url,
    headers: options.headers,
    agent: protocol === 'http:' ? new HttpAgent({ keepAlive: true }) : await options.agentFactory(protocol),
    gzip: options.compression === 'gzip',
    timeout: options.timeoutMillis,
    readAnswer: (body) => {
      const { partialSuccess } = ProtobufTraceSerializer.deserializeResponse(body);
      return { rejected: partialSuccess?.rejectedSpans ?? 0, reason: partialSuccess?.errorMessage ?? '' };
    },
  };
}
