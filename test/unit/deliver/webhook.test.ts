import { describe, expect, it } from 'vitest';
import type { Event } from '../../../src/core/event.ts';
import { codeOfStatus, failureOf, retryAfter } from '../../../src/deliver/http/answer.ts';
import { deliverStep, type Preview } from '../../../src/deliver/route.ts';
import { webhook } from '../../../src/deliver/targets/webhook.ts';
import { ERRORS, OuzelError } from '../../../src/errors.ts';
import { bytes, eventOf, harness, jsonEvent, outcome, route } from '../core/helpers.ts';
import { targetContext } from './helpers.ts';

/** The options as the configuration would bring them; what is wrong with them otherwise. */
const parse = (options: Record<string, unknown>) => webhook.options.parse(options);
const problems = (options: Record<string, unknown>): string[] =>
  (webhook.options.safeParse(options).error?.issues ?? []).map(({ message }) => message);

/** What would be sent for an event. @throws OuzelError */
function sent(options: Record<string, unknown>, event: Event = jsonEvent({})) {
  const missing: string[] = [];
  const target = webhook.prepare(
    parse({ url: 'https://partner.example/in', ...options }),
    targetContext({ missing: (path) => missing.push(path) }),
  );
  let preview: Preview | undefined;
  const made = harness({
    steps: [
      deliverStep(
        [
          route('r', (delivery) => {
            preview = target.preview?.(delivery);
            delivery.confirm();
          }),
        ],
        outcome('filtered'),
      ),
    ],
  });
  made.receive(event);
  const failed = made.letters.letters.at(-1)?.failure.error;
  if (failed !== undefined) throw failed;
  const { action = '', headers = [], body = '' } = preview ?? {};
  return {
    action,
    path: action.replace(/^\w+ https?:\/\/[^/]+/, ''),
    headers: Object.fromEntries(headers),
    body: typeof body === 'string' ? body : Buffer.from(body).toString(),
    missing,
  };
}

describe('url', () => {
  it.each([
    ['partner.example/in', 'must begin with http'],
    ['ftp://partner.example/in', 'must begin with http'],
    ['file:///etc/passwd', 'must begin with http'],
    ['http:///in', 'must begin with http'],
    ['{{ event.data.url }}', 'must begin with http'],
    ['https://{{ event.data.host }}/in', 'expression in its host'],
    ['https://partner.example{{ event.data.x }}', 'expression in its host'],
    ['https://partner.example:{{ event.data.port }}/', 'expression in its host'],
    ['https://u:{{ event.data.p }}@partner.example/', 'expression in its host'],
    ['https://partner.example\\{{ event.data.x }}', 'expression in its host'],
    ['https://partner.example/a b', 'space, a backslash or a control character'],
    ['https://partner.example\\@other.example/', 'space, a backslash or a control character'],
    ['https://part\tner.example/', 'space, a backslash or a control character'],
    ['https://partner.example/in#top', 'fragment'],
    ['https://partner.example:99999/in', 'not a valid URL'],
    ['https://a..b:x/', 'not a valid URL'],
  ])('%j is refused: %s', (url, problem) => {
    expect(problems({ url })).toHaveLength(1);
    expect(problems({ url })[0]).toContain(problem);
  });

  it.each(['http://127.0.0.1:9/in', 'http://[::1]/in', 'http://10.1/{{ event.data.id }}', 'http://0x7f.1/'])(
    '%s needs `allow_private`',
    (url) => {
      const [issue] = webhook.options.safeParse({ url }).error?.issues ?? [];
      const hint: unknown = expect.stringContaining('allow_private: true');
      expect(issue).toMatchObject({ path: ['url'], params: { hint } });
      expect(problems({ url, allow_private: true })).toEqual([]);
    },
  );

  it.each<[url: string, data: unknown, path: string]>([
    ['https://h.example', {}, '/'],
    ['https://h.example/ü?q=ü', {}, '/%C3%BC?q=%C3%BC'],
    ['https://h.example/{{ event.data.id }}', { id: 'o-1' }, '/o-1'],
    ['https://h.example/{{ event.data.id }}', { id: 7 }, '/7'],
    ['https://h.example/{{ event.data.id }}', { id: '../admin' }, '/..%2Fadmin'],
    ['https://h.example/{{ event.data.id }}', { id: '//evil.example/' }, '/%2F%2Fevil.example%2F'],
    ['https://h.example/{{ event.data.id }}', { id: '@evil.example' }, '/%40evil.example'],
    ['https://h.example/{{ event.data.id }}', { id: '\\evil' }, '/%5Cevil'],
    ['https://h.example/{{ event.data.id }}/x', { id: 'a?b=c#d' }, '/a%3Fb%3Dc%23d/x'],
    ['https://h.example/{{ event.data.id }}', { id: '%2e%2e' }, '/%252e%252e'],
    ['https://h.example/{{ event.data.id }}', { id: 'a\r\nHost: evil' }, '/a%0D%0AHost%3A%20evil'],
    ['https://h.example/{{ event.data.id }}', { id: 'ü\ud800' }, '/%C3%BC%EF%BF%BD'],
    ['https://h.example/{{ event.data.id }}', { id: '...' }, '/...'],
    ['https://h.example/v{{ event.data.id }}', { id: '' }, '/v'],
    ['https://h.example?q={{ event.data.id }}', { id: 'a&b=c d' }, '/?q=a%26b%3Dc%20d'],
    ['https://h.example/?q={{ event.data.id }}', { id: '' }, '/?q='],
    ['https://h.example/a/../{{ event.data.id }}', { id: 'b' }, '/b'],
    ['https://h.example//{{ event.data.id }}/', { id: 'b' }, '//b/'],
  ])('%s of %j → %s', (url, data, path) => expect(sent({ url }, jsonEvent(data)).path).toBe(path));

  it.each([
    ['https://h.example/{{ event.data.id }}', '', 'an empty segment'],
    ['https://h.example/orders/{{ event.data.id }}/cancel', '', 'an empty segment'],
    ['https://h.example/{{ event.data.id }}', '.', 'the segment `.`'],
    ['https://h.example/a/{{ event.data.id }}/b', '..', 'the segment `..`'],
    ['https://h.example/a/.{{ event.data.id }}/b', '.', 'the segment `..`'],
    ['https://h.example/a/%2e{{ event.data.id }}', '.', 'the segment `%2e.`'],
    ['https://h.example/{{ event.data.id }}', 'x'.repeat(9000), '9018 characters'],
  ])('%s is refused for %.10j', (url, id, problem) => {
    const make = () => sent({ url }, jsonEvent({ id }));
    expect(make).toThrow(problem);
    expect(make).toThrow(expect.objectContaining({ code: 'EVENT_INVALID_URL' }) as Error);
  });

  it('a missing field is an error that shows neither credentials nor the query', () => {
    const url = 'https://user:pa55word@h.example/{{ event.data.id }}?key=s3cret';
    const make = () => sent({ url }, jsonEvent({}));
    expect(make).toThrow(expect.objectContaining({ code: 'EVENT_MISSING_FIELD' }) as Error);
    expect(make).toThrow(/h\.example\/\{…\}/);
    expect(make).not.toThrow(/pa55word|s3cret/);
  });

  it('credentials become a header, and are shown nowhere', () => {
    const { action, headers } = sent({ url: 'https://us%40er:pa%3Ass@h.example/in' });
    expect(action).toBe('POST https://h.example/in');
    expect(headers['authorization']).toBe('Basic ***');
  });
});

describe('a request', () => {
  const event = () =>
    eventOf('{"specversion":"1.0","id":"i-1","source":"/s","type":"t","tenant":"blau grün","data":{"a":1}}', {
      headers: { 'Content-Type': 'application/cloudevents+json' },
    });

  it('has an id, a time, hops, and says who sends it', () => {
    const { headers } = sent({}, jsonEvent({}, { headers: { 'Ouzel-Hops': '2' } }));
    expect(headers).toMatchObject({
      'user-agent': expect.stringMatching(/^ouzel\/\d/) as string,
      'ouzel-hops': '3',
      'content-type': 'application/cloudevents+json',
      'webhook-id': expect.stringMatching(/^[\w-]{22}_16_\w+_\w+$/) as string,
    });
    expect(Math.abs(Number(headers['webhook-timestamp']) - Date.now() / 1000)).toBeLessThan(60);
    expect(() => sent({}, jsonEvent({}, { headers: { 'Ouzel-Hops': '8' } }))).toThrow(
      expect.objectContaining({ code: 'EVENT_HOPS' }) as Error,
    );
  });

  it('structured: one document', () => {
    const { body, headers } = sent({}, event());
    expect(JSON.parse(body)).toEqual({
      specversion: '1.0',
      id: 'i-1',
      source: '/s',
      type: 't',
      time: '2026-01-02T03:04:05.006Z',
      datacontenttype: 'application/json',
      tenant: 'blau grün',
      data: { a: 1 },
    });
    expect(Object.keys(headers).filter((name) => name.startsWith('ce-'))).toEqual([]);
  });

  it('binary: attributes are headers, percent-encoded', () => {
    const { body, headers } = sent({ cloudevents: 'binary' }, event());
    expect(body).toBe('{"a":1}');
    expect(headers).toMatchObject({
      'ce-specversion': '1.0',
      'ce-id': 'i-1',
      'ce-tenant': 'blau%20gr%C3%BCn',
      'content-type': 'application/json',
    });
  });

  it('binary: a name that no header can have is percent-encoded, a content type loses what would break it', () => {
    const document = {
      specversion: '1.0',
      id: 'i',
      source: '/s',
      type: 't',
      datacontenttype: 'text/plain; x="ü\r\ny"',
    };
    const body = JSON.stringify({ ...document, 'a(b)/c': 'v', data: 'x' });
    const strange = eventOf(body, { headers: { 'Content-Type': 'application/cloudevents+json' } });
    const { headers } = sent({ cloudevents: 'binary' }, strange);
    expect(headers['ce-a%28b%29%2fc']).toBe('v');
    expect(headers['content-type']).toBe(Buffer.from('text/plain; x="ü  y"').toString('latin1'));
  });

  it('raw: data alone, byte for byte', () => {
    const { body, headers } = sent({ cloudevents: 'raw' }, eventOf('{ "a":  1 }'));
    expect([body, headers['content-type']]).toEqual(['{ "a":  1 }', 'application/json']);
  });

  it.each([
    ['{{ event.data.text }}', 'hello', 'text/plain; charset=utf-8'],
    ['say {{ event.data.n }}', 'say 1', 'text/plain; charset=utf-8'],
    ['{{ {"text": event.data.text} }}', '{"text":"hello"}', 'application/json'],
    ['{{ event.data.n }}', '1', 'application/json'],
  ])('body %s → %s', (template, body, type) => {
    const made = sent({ body: template }, jsonEvent({ text: 'hello', n: 1 }));
    expect([made.body, made.headers['content-type']]).toEqual([body, type]);
  });

  it('a mapping is JSON, and every value in it is quoted as JSON needs it', () => {
    const body = {
      text: 'say "{{ event.data.text }}"',
      total: '{{ event.data.n }}',
      tags: ['{{ event.data.tags }}', 7, null, true],
      phone: '{{ event.data.?phone }}',
      constructor: '{{ event.data.text }}',
    };
    const made = sent({ body }, jsonEvent({ text: 'a "b"\n', n: 1, tags: ['x'] }));
    expect(made.headers['content-type']).toBe('application/json');
    expect(JSON.parse(made.body)).toEqual({
      text: 'say "a "b"\n"',
      total: 1,
      tags: [['x'], 7, null, true],
      constructor: 'a "b"\n',
    });
    const missing = () => sent({ body: { a: { b: ['{{ event.data.c }}'] } } }, jsonEvent({}));
    expect(missing).toThrow(expect.objectContaining({ code: 'EVENT_MISSING_FIELD' }) as Error);
  });

  it('says where in a body a template is wrong', () =>
    expect(
      webhook.options.safeParse({ url: 'https://h.example', body: { a: ['x', '{{ 1 + }}'] } }).error?.issues,
    ).toEqual([expect.objectContaining({ path: ['body', 'a', 1] })]));

  it('has the content type that is configured for its body', () => {
    const made = sent({ body: '<a>{{ event.data.n }}</a>', content_type: 'application/xml' }, jsonEvent({ n: 1 }));
    expect([made.body, made.headers['content-type']]).toEqual(['<a>1</a>', 'application/xml']);
  });

  it('shows neither signatures nor what authorizes it', () => {
    const secret = Buffer.alloc(24, 's').toString('base64');
    const sign = { standard: { secrets: [`whsec_${secret}`] }, hmac: { secret: 'hush', header: 'X-Sig' } };
    const { headers } = sent({ sign, auth: { bearer: 't0ken' } });
    expect(headers).toMatchObject({ 'webhook-signature': '***', 'x-sig': '***', authorization: '***' });
  });

  it.each<[options: Record<string, unknown>, problem: string]>([
    [{ auth: {} }, 'exactly one of'],
    [{ auth: { bearer: 'a', header: { name: 'x', value: 'b' } } }, 'exactly one of'],
    [{ url: 'https://u:p@h.example', auth: { bearer: 'a' } }, 'has a user already'],
    [{ headers: { Authorization: 'x' }, auth: { bearer: 'a' } }, 'has authorization already'],
    [{ headers: { 'X-Key': 'x' }, auth: { header: { name: 'x-key', value: 'a' } } }, 'has x-key already'],
    [{ tls: { cert: 'a.pem' } }, 'stand together'],
    [{ url: 'http://h.example', tls: { ca: 'a.pem' } }, 'no effect'],
    ...['http://127.0.0.1/t', 'ftp://h.example', 'https://u:p@h.example/', 'h.example'].map(
      (url): [Record<string, unknown>, string] => [
        { auth: { oauth2: { token_url: url, client_id: 'a', client_secret: 'b' } } },
        url.includes('127') ? 'is a loopback address' : 'must be an http',
      ],
    ),
  ])('%j is refused: %s', (options, problem) => {
    const [said, ...others] = problems({ url: 'https://h.example', ...options });
    expect(said).toContain(problem);
    expect(others).toEqual([]);
  });

  it('headers are the configuration’s where it names them, and no value can add another', () => {
    const headers = {
      'Content-Type': 'application/x',
      'User-Agent': 'mine',
      'X-Note': '{{ event.data.note }}',
      Traceparent: 'own',
    };
    const made = sent(
      { headers },
      jsonEvent({ note: 'a\r\nx-evil: 1 ü' }, { headers: { traceparent: '00-a', tracestate: 'b' } }),
    );
    expect(made.headers).toMatchObject({
      'content-type': 'application/x',
      'user-agent': 'mine',
      'x-note': Buffer.from('a  x-evil: 1 ü').toString('latin1'),
      traceparent: 'own',
    });
    expect(made.headers).not.toHaveProperty('tracestate');
  });

  it('hands on the trace context of the event', () => {
    const { headers } = sent({}, jsonEvent({}, { headers: { traceparent: '00-a', tracestate: 'b' } }));
    expect(headers).toMatchObject({ traceparent: '00-a', tracestate: 'b' });
  });

  it.each([
    'webhook-id',
    'Webhook-Signature',
    'Ouzel-Hops',
    'Host',
    'Content-Length',
    'Connection',
    'transfer-encoding',
  ])('the header %s is not to be configured', (name) =>
    expect(problems({ url: 'https://h.example', headers: { [name]: 'x' } })).toHaveLength(1),
  );

  it.each(['a b', 'a:b', 'a(b)', ''])('%j is no name of a header', (name) =>
    expect(problems({ url: 'https://h.example', headers: { [name]: 'x' } })).toHaveLength(1),
  );
});

describe('an answer', () => {
  const CODES = {
    confirmed: [200, 201, 202, 204, 206, 299],
    TARGET_UNAVAILABLE: [408, 425, 429, 500, 501, 502, 503, 504, 507, 520, 599],
    TARGET_REJECTED_FOR_GOOD: [400, 410, 413, 414, 415, 422, 431],
    TARGET_REJECTED: [
      300, 301, 302, 303, 304, 307, 308, 401, 402, 403, 404, 405, 406, 407, 409, 411, 412, 416, 418, 423, 428, 451, 499,
    ],
  };
  it.each(Object.entries(CODES).flatMap(([code, statuses]) => statuses.map((status) => [status, code] as const)))(
    '%i is %s',
    (status, code) => expect(codeOfStatus(status) ?? 'confirmed').toBe(code),
  );

  it('what is away uses up no attempts', () => {
    for (const code of ['TARGET_UNAVAILABLE', 'TARGET_TIMEOUT', 'TARGET_ADDRESS'] as const)
      expect(ERRORS[code].kind).toBe('unavailable');
  });

  const NOW = Date.UTC(2026, 0, 31, 8, 0, 0);
  it.each<[value: string | undefined, wait: number | undefined]>([
    ['3', 3000],
    [' 120 ', 120_000],
    ['0', 0],
    ['Sat, 31 Jan 2026 08:00:30 GMT', 30_000],
    ['Saturday, 31-Jan-26 08:00:30 GMT', 30_000],
    ['Sat Jan 31 08:00:30 2026', 30_000],
    ['Sat, 31 Jan 2026 07:00:00 GMT', 0],
    [undefined, undefined],
    ['', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['3 apples', undefined],
    ['soon', undefined],
    ['99999999999999999999', undefined],
    ['Sat, 99 Foo 2026 08:00:30 GMT', undefined],
    ['2026-01-31', undefined],
  ])('Retry-After %j is %j ms', (value, wait) => expect(retryAfter(value, NOW)).toBe(wait));

  const failure = (status: number, body: string, headers: Record<string, string> = {}, secrets: string[] = []) =>
    failureOf(
      { status, headers, body: bytes(body) },
      { asked: 'POST https://h.example', origin: 'https://h.example', secrets, now: NOW },
    ) ?? new OuzelError('INTERNAL', 'confirmed');

  it('is told with its status and the beginning of its body, on one line', () => {
    const { message, status, code } = failure(422, 'no\r\n\u001b[31mtotal\u0000 given\u202e');
    expect([message, status, code]).toEqual([
      'POST https://h.example: answered 422 Unprocessable Entity: no [31mtotal given',
      422,
      'TARGET_REJECTED_FOR_GOOD',
    ]);
    expect(failure(500, 'x'.repeat(5000)).message.length).toBeLessThan(400);
    expect(failure(599, '').message).toBe('POST https://h.example: answered 599');
  });

  it('shows no secret that the target sends back', () => {
    const { message } = failure(401, '{"authorization":"Bearer abc.def","key":"k3y"}', {}, [
      'Bearer abc.def',
      'abc.def',
      'k3y!',
      '',
    ]);
    expect(message).toContain('{"authorization":"***","key":"k3y"}');
  });

  it.each([
    ['https://other.example/in?token=1', 'points to https://other.example;'],
    ['/elsewhere', 'points to https://h.example;'],
    ['javascript:alert(1)', 'points to what is no web address'],
    ['http://[', 'points to what is no web address'],
  ])('a redirect to %s', (location, shown) => {
    const { message, code } = failure(302, '', { location });
    expect(code).toBe('TARGET_REJECTED');
    expect(message).toContain(shown);
    expect(message).not.toContain('token');
    expect(message).toContain('redirects are not followed');
  });

  it('carries the wait that it asks for', () => {
    expect(failure(503, '', { 'retry-after': '3' }).retryAfter).toBe(3000);
    expect(failure(429, '').retryAfter).toBeUndefined();
  });
});
