import { expect, it } from 'vitest';
import { brief, parse, problemsIn } from './helpers.ts';

const V = 'version: 1\nsources:\n';
const publish = 'publish: { subject: x }';

it('a source that holds, with its defaults', () => {
  const { config, source } = parse(
    `${V}  a: { webhook: { path: /a, verify: { stripe: { secret: "\${S}" } } }, publish: { subject: "x.{{ request.body.kind }}" } }\n`,
    { env: { S: 'stripe-secret' } },
  );
  expect(config.sources['a']?.webhook).toEqual({
    path: '/a',
    verify: { stripe: { secret: 'stripe-secret', tolerance: 300_000 } },
    methods: ['POST'],
    max_body: 1_048_576,
    content_types: ['json', 'form', 'cloudevents'],
  });
  expect(config.sources['a']?.publish.timeout).toBe(5000);
  expect(JSON.stringify(source)).not.toContain('stripe-secret');
});

it('a schedule that holds, with its defaults', () => {
  const { config } = parse(
    `${V}  a: { schedule: { cron: "0 3 * * *" }, publish: { subject: "x.{{ schedule.name }}" } }\n`,
  );
  expect(config.sources['a']?.schedule).toEqual({
    cron: '0 3 * * *',
    timezone: 'UTC',
    missed: 'last',
    missed_limit: 100,
    jitter: 0,
  });
});

it.each([
  ['a field that is none', 'cron: "0 25 * * *"', publish, '"25" is no hour of a cron pattern'],
  ['too few fields', 'cron: "0 3 * *"', publish, 'it has 4 fields'],
  ['a day that never comes', 'cron: "0 3 30 2 *"', publish, 'never comes'],
  ['a zone that is none', 'cron: "0 3 * * *", timezone: Europe/Berln', publish, 'no time zone "Europe/Berln"'],
  ['two ways', 'cron: "0 3 * * *", every: 1h', publish, 'cron and every cannot stand together'],
  ['no way', 'missed: all', publish, 'it does not say what it is'],
  ['an anchor of nothing', 'cron: "0 3 * * *", anchor: 2026-01-01T00:00:00Z', publish, 'an anchor is for `every`'],
  ['too quick', 'every: 500ms', publish, 'out of bounds'],
  ['too much jitter', 'every: 10s, jitter: 10s', publish, 'a jitter of 10s is too long'],
  ['a request', 'every: 1h', 'publish: { subject: "x.{{ request.path }}" }', 'there is no "request" here'],
  ['the present time', 'every: 1h', 'publish: { subject: x, data: { a: [1, "{{ now }}"] } }', 'there is no "now" here'],
  ['what it has not', 'every: 1h', 'publish: { subject: x, id: "{{ schedule.when }}" }', 'no attribute "when"'],
])('a schedule with %s is refused', (_what, schedule, published, message) => {
  const [problem, ...others] = problemsIn(`${V}  a: { schedule: { ${schedule} }, ${published} }\n`);
  expect(problem?.message).toContain(message);
  expect(others).toEqual([]);
});

it('a webhook has no schedule in its templates', () => {
  const text = `${V}  a: { webhook: { path: /a, verify: none }, publish: { subject: "x.{{ schedule.name }}" } }\n`;
  expect(problemsIn(text).map(({ message }) => message)).toEqual([
    expect.stringContaining('there is no "schedule" here'),
  ]);
});

it('secrets that stand in the file are hidden too', () => {
  const { source, redact } = parse(
    `${V}  a: { webhook: { path: /a, verify: { token: { secrets: [first-secret, second-secret] } } }, ${publish} }\n`,
  );
  expect(JSON.stringify(source)).not.toMatch(/first-secret|second-secret/);
  expect(redact('it is second-secret')).toBe('it is ***');
});

it.each([
  ['a path without /', `webhook: { path: hooks, verify: none }, ${publish}`, /does not begin with \//],
  ['a path with ..', `webhook: { path: /a/../b, verify: none }, ${publish}`, /\. or \.\. as a segment/],
  ['a path with a query', `webhook: { path: "/a?b", verify: none }, ${publish}`, /percent-encoded/],
  ['the path of posted events', `webhook: { path: /events, verify: none }, ${publish}`, /is that of posted events/],
  ['no verifier', `webhook: { path: /a }, ${publish}`, /"verify" is missing|verify/],
  [
    'two verifiers',
    `webhook: { path: /a, verify: { github: { secret: x }, token: { secret: y } } }, ${publish}`,
    /github and token cannot stand together/,
  ],
  ['no secret', `webhook: { path: /a, verify: { github: {} } }, ${publish}`, /it has no secret/],
  [
    'a secret that is none',
    `webhook: { path: /a, verify: { standard: { secret: short } } }, ${publish}`,
    /no secret of Standard Webhooks/,
  ],
  ['too large a body', `webhook: { path: /a, verify: none, max_body: 1GiB }, ${publish}`, /at most 64MiB/],
  ["Ouzel's own subject", 'webhook: { path: /a, verify: none }, publish: { subject: ouzel.dlq.x }', /is Ouzel's own/],
  [
    "the server's own subject",
    'webhook: { path: /a, verify: none }, publish: { subject: $JS.API.X }',
    /the server's own/,
  ],
  [
    'an event, which is not there',
    'webhook: { path: /a, verify: none }, publish: { subject: "x.{{ event.data.y }}" }',
    /there is no "event" here/,
  ],
  [
    'a filter',
    'webhook: { path: /a, verify: none }, publish: { subject: "x.{{ filters.big }}" }',
    /filters look at an event/,
  ],
  [
    'an attribute that requests have not',
    'webhook: { path: /a, verify: none }, publish: { subject: "x.{{ request.bdy.y }}" }',
    /request has no attribute "bdy"/,
  ],
  [
    'a header that Ouzel writes',
    'webhook: { path: /a, verify: none }, publish: { subject: x, headers: { Nats-Msg-Id: x } }',
    /Ouzel writes this header itself/,
  ],
  [
    'an expression in the data',
    'webhook: { path: /a, verify: none }, publish: { subject: x, data: { a: ["{{ 1 + }}"] } }',
    /./,
  ],
  ['no webhook', publish, /it does not say what it is/],
  ['nothing to publish', 'webhook: { path: /a, verify: none }', /publish/],
])('%s', (_name, entry, says) => {
  const problems = problemsIn(`${V}  a: { ${entry} }\n`);
  expect(problems[0]?.message).toMatch(says);
  expect(problems.every(({ place }) => place?.line === 3)).toBe(true);
});

it('two sources at one path, and two listeners at one address', () => {
  const entry = (name: string): string => `  ${name}: { webhook: { path: /a, verify: none }, ${publish} }\n`;
  const twice = problemsIn(V + entry('a') + entry('b'));
  expect(twice.map(brief)).toEqual(['4:25 CONFIG_DUPLICATE_NAME «/a»']);
  expect(twice[0]?.hint).toBe('the other is ouzel.yaml:3:25');
  const same = 'version: 1\nhttp: { listen: ":9464", ingress: ":9464" }\n';
  expect(problemsIn(same).map(brief)).toEqual(['2:35 CONFIG_INVALID_VALUE «":9464"»']);
});
