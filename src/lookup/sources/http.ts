import { z } from 'zod';
import { duration, type IssueDetails, size } from '../../config/fields.ts';
import { isJsonType } from '../../core/event.ts';
import { parseJson } from '../../core/json.ts';
import { specialHost } from '../../deliver/http/addresses.ts';
import { failureOf, type HttpAnswer } from '../../deliver/http/answer.ts';
import { HttpClient } from '../../deliver/http/client.ts';
import { basic, httpHeaderTemplates, httpTraceHeaders, httpValue } from '../../deliver/http/headers.ts';
import { hostOf, TargetUrl, urlTemplate } from '../../deliver/http/url.ts';
import { bindHeaders, render, traceOf } from '../../deliver/outgoing.ts';
import { OuzelError } from '../../errors.ts';
import { VERSION } from '../../version.ts';
import { type Answer, defineSource, MISSING } from '../source.ts';

const options = z
  .strictObject({
    url: urlTemplate(),
    headers: httpHeaderTemplates(),
    timeout: duration()
      .default(5000)
      .describe('How long it may take, from the wait for a connection to the end of the answer.'),
    allow_private: z
      .boolean()
      .default(false)
      .describe('Whether the host may have a private, loopback, link-local or otherwise special address.'),
    connections: z.number().int().min(1).max(1024).default(16).describe('Connections at most; more questions wait.'),
    max_response: size().default(1_048_576).describe('A larger answer is refused.'),
  })
  .superRefine(({ url, allow_private: allowed }, context) => {
    const hostname = hostOf(url);
    const special = allowed || hostname === undefined ? undefined : specialHost(hostname);
    if (special === undefined) return;
    const params: IssueDetails = {
      code: 'CONFIG_INVALID_VALUE',
      hint: 'If that is meant, set `allow_private: true` beside it.',
    };
    const message = `${hostname} is ${special} address, and only public ones are asked`;
    context.addIssue({ code: 'custom', path: ['url'], message, params: { ...params } });
  });

const decoder = new TextDecoder('utf-8', { fatal: true });

const first = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

/** The JSON of an answer that is one. @throws OuzelError TARGET_REJECTED */
function valueOf({ headers, body }: HttpAnswer, asked: string): Answer {
  const type = first(headers['content-type']);
  if (!isJsonType(type)) throw new OuzelError('TARGET_REJECTED', `${asked}: the answer is ${type}, not JSON`);
  try {
    return { value: parseJson(decoder.decode(body)), size: body.length };
  } catch (error) {
    throw new OuzelError('TARGET_REJECTED', `${asked}: the answer is not JSON: ${(error as Error).message}`);
  }
}

/** What a web server answers. */
export const http = defineSource({
  name: 'http',
  summary:
    'A GET to a web server: the JSON of its answer. 404 and 204 mean that there is nothing; 408, 425, 429, 5xx and a server that is away make the event wait; any other answer refuses it.',
  example: '{ url: "https://crm.example/customers/{{ event.data.customer }}" }',
  options,
  needsKey: () => false,
  prepare(given, context) {
    const { timeout, connections, allow_private: allowPrivate, max_response: maxResponse } = given;
    const url = new TargetUrl(given.url, context);
    const own = bindHeaders(given.headers, context);
    const { origin, credentials } = url;
    const client = new HttpClient({ origin, connections, timeout, maxResponse, allowPrivate });
    const asked = `GET ${origin}`;
    const authorization = credentials === undefined ? undefined : basic(credentials);
    return {
      question(run) {
        const to = url.of(run);
        const said = own.map(
          ([name, bound, source]) => [name.toLowerCase(), httpValue(render(bound, source, run, context))] as const,
        );
        const headers: Record<string, string> = {
          'user-agent': `ouzel/${VERSION}`,
          accept: 'application/json',
          ...(authorization === undefined ? {} : { authorization }),
          ...Object.fromEntries(said),
        };
        const secrets = [
          ...said.flatMap(([, value]) => [value, ...value.split(' ')]),
          ...(authorization === undefined ? [] : [authorization.slice('Basic '.length), credentials?.password ?? '']),
          ...to.searchParams.values(),
        ];
        const ask = async (signal: AbortSignal): Promise<Answer> => {
          const trace = Object.hasOwn(headers, 'traceparent') ? undefined : (run.span ?? traceOf(run.event));
          const request = {
            method: 'GET',
            path: to.pathname + to.search,
            headers: { ...httpTraceHeaders(trace), ...headers },
          } as const;
          const answer = await client.fetch(request, signal);
          if (answer.status === 404 || answer.status === 204) return MISSING;
          const failure = failureOf(answer, { asked, origin, secrets, now: Date.now() });
          if (failure !== undefined) throw failure;
          return valueOf(answer, asked);
        };
        const preview = () => ({
          action: `GET ${to.origin}${to.pathname}${to.search}`,
          headers: Object.entries(headers).map(([name, value]): [string, string] => [
            name,
            value === authorization ? 'Basic ***' : value,
          ]),
        });
        return { id: JSON.stringify([to.href, ...said]), ask, preview };
      },
      close: () => client.close(),
    };
  },
});
