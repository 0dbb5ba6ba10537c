/** Headers of HTTP requests. */
import { z } from 'zod';
import { template } from '../../config/fields.ts';
import type { TraceContext } from '../../core/ports.ts';
import type { ScopeKind } from '../../expression/index.ts';

/** What Ouzel writes itself, and what belongs to the connection and not to the message. */
const NOT_CONFIGURABLE =
  /^(?:webhook-.*|ouzel-.*|proxy-.*|host|content-length|transfer-encoding|connection|keep-alive|upgrade|expect|te|trailer)$/i;

/** The name of a header: a token of HTTP (RFC 9110). */
export const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NOT_IN_NAME = /[^!#$%&'*+\-.^_`|~0-9A-Za-z]/g;

// oxlint-disable-next-line no-control-regex -- control characters are what must not get into a header
const UNSAFE = /[\u0000-\u001f\u007f]/g;

/** The name of a header that the configuration may set. */
export const configurableHeader = () =>
  z
    .string()
    .regex(HEADER_NAME)
    .refine((name) => !NOT_CONFIGURABLE.test(name), {
      error: 'Ouzel or the connection writes this header itself',
    });

/** Headers by name. */
export const httpHeaderTemplates = (scope: ScopeKind = 'event') =>
  z
    .record(configurableHeader(), template(scope))
    .optional()
    .describe(
      'Headers to add, or to send in place of `content-type`, `user-agent` and the trace context. Sent as UTF-8.',
    );

/** A value as it can be sent: no line breaks, and characters beyond ASCII as the bytes of their UTF-8. */
export const httpValue = (value: string): string =>
  Buffer.from(value.replace(UNSAFE, ' ').trim(), 'utf8').toString('latin1');

/** A name of ASCII in lower case; what cannot stand in one is percent-encoded, as the values of CloudEvents are. */
export const httpName = (name: string): string =>
  name.toLowerCase().replace(NOT_IN_NAME, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`);

/** The value of `Authorization` for a user and a password. */
export const basic = ({ user, password }: { readonly user: string; readonly password: string }): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

/** The headers of a trace context; none without one. */
export function httpTraceHeaders(
  trace: Pick<TraceContext, 'traceparent' | 'tracestate'> | undefined,
): Record<string, string> {
  if (trace === undefined) return {};
  const { traceparent, tracestate } = trace;
  return {
    traceparent: httpValue(traceparent),
    ...(tracestate === undefined ? {} : { tracestate: httpValue(tracestate) }),
  };
}
