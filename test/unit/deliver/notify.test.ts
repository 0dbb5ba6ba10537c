/** What each messaging service is sent for events that mean no good, and what the configuration refuses. */
import { describe, expect, it } from 'vitest';
import { deliverStep, type Preview } from '../../../src/deliver/route.ts';
import { cut, cutBytes } from '../../../src/deliver/notify/text.ts';
import { inWords } from '../../../src/deliver/notify/windows.ts';
import { notify } from '../../../src/deliver/targets/notify.ts';
import { harness, jsonEvent, outcome, route } from '../core/helpers.ts';
import { targetContext } from './helpers.ts';

const problems = (options: Record<string, unknown>): string[] =>
  (notify.options.safeParse({ message: 'm', ...options }).error?.issues ?? []).map(({ message }) => message);

/** What would be sent for an event. @throws OuzelError */
function sent(options: Record<string, unknown>, data: unknown = {}): Preview {
  const parsed = notify.options.parse({ message: '{{ event.data.text }}', ...options });
  const target = notify.prepare(parsed, targetContext({}));
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
  made.receive(jsonEvent(data));
  const failed = made.letters.letters.at(-1)?.failure.error;
  if (failed !== undefined) throw failed;
  if (preview === undefined) throw new Error('nothing would be sent');
  return preview;
}

const documentOf = ({ body = '' }: Preview): Record<string, unknown> =>
  JSON.parse(String(body)) as Record<string, unknown>;

const slack = { slack: { url: 'https://hooks.slack.com/services/T0/B0/s3cret-part' } };
const discord = { discord: { url: 'https://discord.com/api/webhooks/1/s3cret-part' } };
const teams = { teams: { url: 'https://x.example/workflows/1?sig=s3cret-part' } };
const telegram = { telegram: { token: '123:s3cret-part', chat: '-100' } };
const ntfy = { ntfy: { url: 'https://ntfy.sh/alerts', token: 's3cret-part' } };
const pagerduty = { pagerduty: { routing_key: 's3cret-part' } };
const email = {
  email: { url: 'smtp://ouzel:s3cret-part@mail.example', from: 'Ouzel <ouzel@example.com>', to: ['ops@example.com'] },
};
const ALL = { slack, discord, teams, telegram, ntfy, pagerduty, email };

describe.each(Object.entries(ALL))('%s', (_name, service) => {
  it('shows nothing of its secret', () => {
    expect(JSON.stringify(sent(service, { text: 'hello' }))).not.toContain('s3cret');
  });

  it('is never sent more than it takes, and says that it was cut', () => {
    for (const text of ['x'.repeat(500_000), '<&*_"\\'.repeat(50_000), '😀'.repeat(100_000)]) {
      const { body = '' } = sent({ ...service, title: '{{ event.data.text }}' }, { text });
      expect(body.toString().isWellFormed()).toBe(true);
      expect(body).toContain('…');
      expect(Buffer.byteLength(body)).toBeLessThan('email' in service ? 500_000 : 100_000);
    }
  });

  it('fails the event when a field of the message is not there', () => {
    expect(() => sent(service, {})).toThrow(/text/);
  });
});

describe('slack', () => {
  it('lets event data be text only, and templates be markup', () => {
    const text = '<!here> <@U1> <https://evil.example|click> & *bold*';
    const document = documentOf(sent({ ...slack, title: 'T', message: '<!channel> {{ event.data.text }}' }, { text }));
    expect(document).toEqual({
      text: '*T*\n<!channel> &lt;!here&gt; &lt;@U1&gt; &lt;https://evil.example|click&gt; &amp; *bold*',
      unfurl_links: false,
      unfurl_media: false,
    });
  });

  it('cuts no escape in half', () => {
    for (let offset = 0; offset < 6; offset++) {
      const text = String(documentOf(sent(slack, { text: 'x'.repeat(offset) + '&'.repeat(5000) }))['text']);
      expect(text.length).toBeLessThanOrEqual(4000);
      expect(text).toMatch(/^x*(?:&amp;)+…$/);
    }
  });
});

describe('discord', () => {
  it('mentions nobody and reads no markup in event data', () => {
    const document = documentOf(sent(discord, { text: '@everyone <@1> [x](https://evil.example) **b**' }));
    expect(document).toEqual({
      content: String.raw`\@everyone \<\@1\> \[x\]\(https://evil.example\) \*\*b\*\*`,
      allowed_mentions: { parse: [] },
      flags: 4,
    });
  });

  it('is sent 2,000 characters at most', () => {
    const content = String(documentOf(sent(discord, { text: '*'.repeat(3000) }))['content']);
    expect(content.length).toBeLessThanOrEqual(2000);
    expect(content).toMatch(/^(?:\\\*)+…$/);
  });
});

describe('teams', () => {
  it('is sent an Adaptive Card with a block for each line, within 28 KB', () => {
    const text = 'first\nsecond [x](https://evil.example)';
    const document = documentOf(sent({ ...teams, title: 'T' }, { text }));
    const content = {
      $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
      type: 'AdaptiveCard',
      version: '1.4',
      body: [
        { type: 'TextBlock', text: 'T', wrap: true, spacing: 'None', weight: 'Bolder', size: 'Medium' },
        { type: 'TextBlock', text: 'first', wrap: true, spacing: 'None' },
        { type: 'TextBlock', text: String.raw`second \[x\]\(https://evil.example\)`, wrap: true, spacing: 'None' },
      ],
    };
    expect(document).toEqual({
      type: 'message',
      attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content }],
    });
    for (const long of ['a\n'.repeat(5000), '"'.repeat(9000), '€'.repeat(9000)])
      expect(Buffer.byteLength(sent(teams, { text: long }).body ?? '')).toBeLessThan(28_000);
  });
});

describe('telegram', () => {
  it('is sent text, or HTML in which event data is escaped', () => {
    const text = '<b>x</b> & "y"';
    const more = { chat_id: '-100', link_preview_options: { is_disabled: true }, disable_notification: false };
    expect(documentOf(sent(telegram, { text }))).toEqual({ text, ...more });
    const html = { telegram: { ...telegram.telegram, format: 'html' }, message: '<i>{{ event.data.text }}</i>' };
    expect(documentOf(sent({ ...html, title: 'T' }, { text }))).toEqual({
      text: '<b>T</b>\n<i>&lt;b&gt;x&lt;/b&gt; &amp; &quot;y&quot;</i>',
      parse_mode: 'HTML',
      ...more,
    });
    // No tag is left open: what is too long is text.
    const long = documentOf(sent(html, { text: '<&'.repeat(4000) }));
    expect(long['parse_mode']).toBeUndefined();
    expect(long['text']).toMatch(/^(?:<&)+<?…$/);
  });
});

describe('ntfy', () => {
  it('is sent bytes within bounds to the topic of its URL, or to the one that is named', () => {
    const { action, body } = sent(ntfy, { text: '€'.repeat(5000) });
    expect(action).toBe('POST https://ntfy.sh/');
    const { topic, message, priority } = documentOf({ action, body: body ?? '' });
    expect({ topic, priority }).toEqual({ topic: 'alerts', priority: 3 });
    expect(Buffer.byteLength(String(message))).toBeLessThanOrEqual(4096);
    const named = sent({ ntfy: { url: 'https://own.example/ntfy/', topic: 'ops', priority: 'urgent' } }, { text: 'x' });
    expect(named.action).toBe('POST https://own.example/ntfy/');
    expect(documentOf(named)).toEqual({ topic: 'ops', message: 'x', priority: 5 });
  });
});

describe('pagerduty', () => {
  it('triggers and resolves by one key, which is hashed when it is long', () => {
    const options = {
      pagerduty: {
        routing_key: 's3cret-part',
        dedup_key: '{{ event.data.key }}',
        resolve: 'event.data.over',
        severity: 'warning',
      },
    };
    const triggered = documentOf(sent(options, { text: 'one\ntwo', key: 'k', over: false }));
    expect(triggered).toMatchObject({
      event_action: 'trigger',
      dedup_key: 'k',
      client: 'Ouzel',
      payload: { summary: 'one', severity: 'warning', custom_details: { message: 'one\ntwo' } },
    });
    expect(documentOf(sent(options, { text: 'x', key: 'k', over: true }))['event_action']).toBe('resolve');
    // A field that is not there resolves nothing.
    expect(documentOf(sent(options, { text: 'x', key: 'k' }))['event_action']).toBe('trigger');
    const long = (end: string): unknown =>
      documentOf(sent(options, { text: 'x', key: 'k'.repeat(300) + end }))['dedup_key'];
    expect(String(long('a')).length).toBeLessThanOrEqual(255);
    expect(long('a')).not.toBe(long('b'));
    const { summary } = documentOf(sent(options, { text: 'x'.repeat(3000), key: 'k' }))['payload'] as {
      summary: string;
    };
    expect(summary.length).toBe(1024);
  });
});

describe('email', () => {
  it('has a subject of one line, whatever the event says', () => {
    const options = { ...email, email: { ...email.email, subject: 'order {{ event.data.id }}' } };
    const { headers = [] } = sent(options, { text: 'x', id: 'o-1\r\nBcc: all@example.com' });
    expect(Object.fromEntries(headers)['subject']).toBe('order o-1 Bcc: all@example.com');
  });
});

it.each([
  [{}, 'it does not say what it is'],
  [{ ...slack, ...ntfy }, 'cannot stand together'],
  [{ slack: { url: 'hooks.slack.com/x' } }, 'the URL must begin with http'],
  [{ slack: { url: 'http://127.0.0.1/x' } }, '127.0.0.1 is a loopback address'],
  [{ email: { host: '10.0.0.1', from: 'a@b', to: 'c@d' } }, '10.0.0.1 is a private address'],
  [{ email: { url: 'smtp://[::1]', from: 'a@b', to: 'c@d' } }, '::1 is a loopback address'],
  [{ email: { from: 'a@b', to: 'c@d' } }, 'exactly one of `url` and `host`'],
  [{ email: { url: 'https://mail.example', from: 'a@b', to: 'c@d' } }, 'must be smtp://host or smtps://host'],
  [{ email: { host: 'mail.example', from: 'a@b\r\nBcc: x@y', to: 'c@d' } }, 'an address has no line breaks'],
  [{ email: { host: 'mail.example', from: 'a@b', to: 'nobody' } }, 'not an address'],
  [{ email: { host: 'mail.example', user: 'u', from: 'a@b', to: 'c@d' } }, '`user` and `password` belong together'],
  [{ email: { url: 'smtp://u:p@mail.example', tls: 'off', from: 'a@b', to: 'c@d' } }, 'for everybody to read'],
  [{ telegram: { token: 'x/../y', chat: 1 } }, 'a token of a bot has the form'],
  [{ ntfy: { url: 'https://ntfy.sh/' } }, 'does not end in a topic'],
  [{ pagerduty: { routing_key: 'x', resolve: 'true' } }, '`resolve` needs a `dedup_key`'],
  [{ ...slack, dedupe: { by: 'event.id' }, digest: {} }, 'cannot stand together'],
])('refuses %j', (options, problem) => {
  expect(problems(options).join('; ')).toContain(problem);
});

it('cuts texts where they may be cut', () => {
  expect(cut('abc', 3)).toBe('abc');
  expect(cut('abcd', 3)).toBe('ab…');
  expect(cut('a😀b', 3)).toBe('a…');
  expect(cutBytes('€€', 6)).toBe('€€');
  expect(cutBytes('€€€', 8)).toBe('€…');
});

it.each([
  [0, '1 second'],
  [45_000, '45 seconds'],
  [60_000, '1 minute'],
  [90_000, '90 seconds'],
  [899_700, '15 minutes'],
  [3_600_000, '1 hour'],
  [5_400_000, '90 minutes'],
  [86_400_000, '24 hours'],
])('says %d ms as %s', (milliseconds, words) => {
  expect(inWords(milliseconds)).toBe(words);
});
