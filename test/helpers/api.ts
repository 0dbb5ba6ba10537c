/** Requests to the API of a daemon, as any client would make them. */

export interface ApiAnswer<Body = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Headers;
  readonly type: string;
  /** As JSON; the text where it is none. */
  readonly body: Body;
  readonly text: string;
}

export interface ApiOptions {
  /** A text goes as it is, as YAML unless `headers` say otherwise; anything else as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** @param path Below /api/v1. */
export async function callApi<Body = Record<string, unknown>>(
  { http }: { readonly http: string },
  method: string,
  path: string,
  { body, headers = {} }: ApiOptions = {},
): Promise<ApiAnswer<Body>> {
  const isText = typeof body === 'string';
  const response = await fetch(`${http}/api/v1${path}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': isText ? 'application/yaml' : 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isText ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const type = response.headers.get('content-type')?.split(';')[0] ?? '';
  let parsed: unknown = text;
  if (type.endsWith('json')) parsed = JSON.parse(text);
  return { status: response.status, headers: response.headers, type, body: parsed as Body, text };
}
