import { z } from 'zod';

function isHttpUrl(value: string): boolean {
  const url = URL.parse(value);
  return url !== null && /^https?:$/.test(url.protocol);
}

export const telemetry = z
  .strictObject({
    traces: z
      .strictObject({
        endpoint: z
          .string()
          .refine((value) => value === '' || isHttpUrl(value), {
            error: 'must be the http:// or https:// URL of a collector',
          })
          .default('')
          .describe(
            'Base URL of an OTLP collector, such as http://127.0.0.1:4318; empty: no traces. The usual value is `${OTEL_EXPORTER_OTLP_ENDPOINT:-}`.',
          ),
        sample: z
          .number()
          .min(0)
          .max(1)
          .default(1)
          .describe(
            'Share of traces that begin here and are recorded, 0 to 1. A trace that began elsewhere follows the decision made there. OTEL_TRACES_SAMPLER goes before it.',
          ),
      })
      .prefault({})
      .describe('OpenTelemetry traces, sent with OTLP. The OTEL_* variables are honoured: docs/telemetry.md.'),
    log: z
      .strictObject({
        level: z
          .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
          .default('info')
          .describe('The least level that is written.'),
        format: z
          .enum(['auto', 'pretty', 'json', 'logfmt'])
          .default('auto')
          .describe('auto: pretty on a terminal, json elsewhere.'),
      })
      .prefault({})
      .describe('The log, on standard output.'),
  })
  .prefault({})
  .describe('What Ouzel says of itself.');
