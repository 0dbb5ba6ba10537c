/** Verifiers: what senders document as signed is verified, and anything else is not. */
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { verifiers } from '../../../src/sources/verify/index.ts';
import type { Verdict, Verifier, VerifierComponent } from '../../../src/sources/verify/verifier.ts';

const ALL: readonly VerifierComponent[] = verifiers;

function verifier(name: string, options: unknown): Verifier {
  const component = ALL.find((each) => each.name === name);
  if (component === undefined) throw new Error(`there is no ${name}`);
  return component.prepare(component.options.parse(options));
}

interface Sent {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
  /** Seconds. */
  readonly at?: number;
}

const verdict = async (by: Verifier, { headers, body, at = 0 }: Sent): Promise<Verdict> =>
  by.verify({ headers: new Map(Object.entries(headers)), body: Buffer.from(body as string), now: at * 1000 });

const hmac = (secret: string | Buffer, text: string, encoding: 'hex' | 'base64' = 'hex'): string =>
  createHmac('sha256', secret).update(text).digest(encoding);

/** As GitHub documents it ("Testing the webhook payload validation"). */
const GITHUB = {
  secret: "It's a Secret to Everybody",
  sent: {
    headers: { 'x-hub-signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17' },
    body: 'Hello, World!',
  },
};

/** As Slack documents it ("Verifying requests from Slack"). */
const SLACK = {
  secret: '8f742231b10e8888abcd99yyyzzz85a5',
  sent: {
    headers: {
      'x-slack-request-timestamp': '1531420618',
      'x-slack-signature': 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
    },
    body: 'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
    at: 1_531_420_618,
  },
};

/** The vector of the Standard Webhooks libraries. */
const STANDARD = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  sent: {
    headers: {
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    },
    body: '{"test": 2432232314}',
    at: 1_614_265_330,
  },
};

/** The header of Stripe's documentation has no published secret: its first signature is put there. */
const STRIPE_BODY = '{"id":"evt_1","object":"event"}';
const stripeHeader = (time: number | string, ...secrets: readonly string[]): string =>
  [
    `t=${time}`,
    ...secrets.map((secret) => `v1=${hmac(secret, `${time}.${STRIPE_BODY}`)}`),
    'v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39',
  ].join(',');
const STRIPE = {
  secret: 'whsec_test_secret',
  sent: {
    headers: { 'stripe-signature': stripeHeader(1_492_774_577, 'whsec_test_secret') },
    body: STRIPE_BODY,
    at: 1_492_774_577,
  },
};

const SHOPIFY = {
  options: { header: 'X-Shopify-Hmac-Sha256', encoding: 'base64', secret: 'hush' },
  sent: { headers: { 'x-shopify-hmac-sha256': hmac('hush', '{"id":1}', 'base64') }, body: '{"id":1}' },
};

const CASES: readonly (readonly [name: string, options: unknown, sent: Sent, signature: string])[] = [
  ['github', { secret: GITHUB.secret }, GITHUB.sent, 'x-hub-signature-256'],
  ['slack', { secret: SLACK.secret }, SLACK.sent, 'x-slack-signature'],
  ['standard', { secret: STANDARD.secret }, STANDARD.sent, 'webhook-signature'],
  ['stripe', { secret: STRIPE.secret }, STRIPE.sent, 'stripe-signature'],
  ['hmac', SHOPIFY.options, SHOPIFY.sent, 'x-shopify-hmac-sha256'],
];

describe.each(CASES)('%s', (name, options, sent, header) => {
  const by = verifier(name, options);
  const given = sent.headers[header] ?? '';

  it('verifies what was signed', async () => expect(await verdict(by, sent)).toBeUndefined());

  it('refuses another body, byte for byte', async () => {
    const body = Buffer.from(sent.body as string);
    for (let index = 0; index < body.length; index++) {
      const changed = Buffer.from(body);
      changed[index] = (changed[index] ?? 0) ^ 1;
      expect(await verdict(by, { ...sent, body: changed })).toMatch(/not of this body/);
    }
    expect(await verdict(by, { ...sent, body: `${String(sent.body)} ` })).toMatch(/not of this body/);
    expect(await verdict(by, { ...sent, body: '' })).toMatch(/not of this body/);
  });

  it('refuses another signature, a part of one, none, and another secret', async () => {
    const wrong = (value: string) => verdict(by, { ...sent, headers: { ...sent.headers, [header]: value } });
    const { [header]: _left, ...without } = sent.headers;
    expect(await verdict(by, { ...sent, headers: without })).toMatch(/it has no/);
    const value = /[0-9A-Za-z+/]{43,}/.exec(given)?.[0] ?? '';
    for (const each of ['', ' ', value.slice(0, -2), value.slice(2), `${value}00`, '0'.repeat(64), 'é'])
      expect(await wrong(given.replace(value, each)), each).toBeDefined();
    expect(await wrong('')).toBeDefined();
    const secret = name === 'standard' ? `whsec_${Buffer.alloc(24).toString('base64')}` : 'another';
    const other = verifier(name, { ...(options as object), secret });
    expect(await verdict(other, sent)).toMatch(/not of this body/);
  });

  it('verifies with the old and the new secret while one takes the place of the other', async () => {
    const { secret, ...rest } = options as { secret: string };
    const fresh = name === 'standard' ? `whsec_${Buffer.alloc(32, 1).toString('base64')}` : 'fresh';
    const both = verifier(name, { ...rest, secrets: [fresh, secret] });
    expect(await verdict(both, sent)).toBeUndefined();
  });
});

describe.each(CASES.filter(([, , { at }]) => at !== undefined))('the time of %s', (name, options, sent) => {
  const by = verifier(name, options);
  const at = sent.at ?? 0;

  it('may be five minutes off in either direction', async () => {
    for (const off of [-300, 300]) expect(await verdict(by, { ...sent, at: at + off })).toBeUndefined();
    expect(await verdict(by, { ...sent, at: at + 301 })).toBe('its timestamp is 301 s old');
    expect(await verdict(by, { ...sent, at: at - 301 })).toBe('its timestamp is 301 s ahead');
    const wide = verifier(name, { ...(options as object), tolerance: '10m' });
    expect(await verdict(wide, { ...sent, at: at + 600 })).toBeUndefined();
  });

  it('is digits and nothing else', async () => {
    for (const text of ['', ' ', '0x10', '1e9', `${at}.0`, `+${at}`, `-${at}`, ` ${at}`, '1'.repeat(13), '٣']) {
      const headers = Object.fromEntries(
        Object.entries(sent.headers).map(([key, value]) => [
          key,
          value === String(at) ? text : value.replace(`t=${at}`, `t=${text}`),
        ]),
      );
      expect(await verdict(by, { ...sent, headers }), JSON.stringify(text)).toMatch(/timestamp/);
    }
  });
});

it('stripe: several v1, of which one is ours; other schemes and several times count for nothing', async () => {
  const by = verifier('stripe', { secret: 's' });
  const send = (header: string) => verdict(by, { headers: { 'stripe-signature': header }, body: STRIPE_BODY, at: 5 });
  expect(await send(stripeHeader(5, 'old', 's'))).toBeUndefined();
  expect(await send(stripeHeader(5, 'old', 'older'))).toMatch(/not of this body/);
  expect(await send(stripeHeader(5, 's').replace('v1=', 'v0='))).toMatch(/no v1/);
  expect(await send(`t=5,${stripeHeader(5, 's')}`)).toMatch(/several times/);
  // The form in Stripe's documentation is read; its secret was never published.
  const documented =
    't=1492774577,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd,v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39';
  const sent = { headers: { 'stripe-signature': documented }, body: STRIPE_BODY, at: 1_492_774_577 };
  expect(await verdict(by, sent)).toMatch(/not of this body/);
});

it('standard: several signatures, v1a with a public key, and an id that is signed', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  const by = verifier('standard', { secrets: [`whpk_${raw.toString('base64')}`] });
  const signature = sign(null, Buffer.from('m.7.{}'), privateKey).toString('base64');
  const headers = { 'webhook-id': 'm', 'webhook-timestamp': '7', 'webhook-signature': `v1,AAAA v1a,${signature}` };
  expect(await verdict(by, { headers, body: '{}', at: 7 })).toBeUndefined();
  expect(await verdict(by, { headers, body: '[]', at: 7 })).toMatch(/not of this body/);
  expect(await verdict(by, { headers: { ...headers, 'webhook-id': 'n' }, body: '{}', at: 7 })).toMatch(/not of this/);
  const asHmac = { ...headers, 'webhook-signature': `v1,${signature}` };
  expect(await verdict(by, { headers: asHmac, body: '{}', at: 7 })).toMatch(/not of this body/);
  const many = Array.from({ length: 50 }, () => 'v1,AAAA').join(' ');
  const late = {
    ...STANDARD.sent.headers,
    'webhook-signature': `${many} ${STANDARD.sent.headers['webhook-signature']}`,
  };
  const first = {
    ...STANDARD.sent.headers,
    'webhook-signature': `${STANDARD.sent.headers['webhook-signature']} ${many}`,
  };
  const plain = verifier('standard', { secret: STANDARD.secret.replace('whsec_', '') });
  expect(await verdict(plain, { ...STANDARD.sent, headers: first })).toBeUndefined();
  expect(await verdict(plain, { ...STANDARD.sent, headers: late })).toMatch(/not of this body/);
});

it('standard: what is no secret is refused when the configuration is loaded', () => {
  const { options } = verifiers.find(({ name }) => name === 'standard') ?? {};
  for (const secret of ['', 'whsec_', 'whsec_c2hvcnQ=', 'not base64 at all!', 'whpk_c2hvcnQ='])
    expect(options?.safeParse({ secret }).success, secret).toBe(false);
  expect(options?.safeParse({}).success).toBe(false);
  expect(options?.safeParse({ secret: STANDARD.secret, secrets: [STANDARD.secret] }).success).toBe(false);
});

it('hmac: a prefix, a time before the body, and other hashes', async () => {
  const by = verifier('hmac', {
    header: 'X-Sig',
    algorithm: 'sha512',
    prefix: 'v=',
    secret: 's',
    timestamp: { header: 'X-Time', join: ':' },
  });
  const signature = createHmac('sha512', 's').update('9:body').digest('hex');
  const headers = { 'x-sig': `v=${signature}`, 'x-time': '9' };
  expect(await verdict(by, { headers, body: 'body', at: 9 })).toBeUndefined();
  expect(await verdict(by, { headers: { ...headers, 'x-time': '8' }, body: 'body', at: 9 })).toMatch(
    /not of this body/,
  );
  expect(await verdict(by, { headers: { ...headers, 'x-sig': signature }, body: 'body', at: 9 })).toMatch(
    /no signature/,
  );
  expect(await verdict(by, { headers, body: 'body', at: 900 })).toMatch(/old/);
});

it('token: in a header of its own, or as a bearer, whole', async () => {
  const own = verifier('token', { header: 'X-Gitlab-Token', secrets: ['old', 'new'] });
  const bearer = verifier('token', { secret: 'abc' });
  const send = (by: Verifier, headers: Record<string, string>) => verdict(by, { headers, body: '' });
  expect(await send(own, { 'x-gitlab-token': 'new' })).toBeUndefined();
  expect(await send(own, { 'x-gitlab-token': 'old' })).toBeUndefined();
  for (const value of ['', 'ne', 'new ', 'NEW', 'newer'])
    expect(await send(own, { 'x-gitlab-token': value })).toBeDefined();
  expect(await send(own, {})).toMatch(/has no X-Gitlab-Token/);
  expect(await send(bearer, { authorization: 'Bearer abc' })).toBeUndefined();
  for (const value of ['abc', 'Basic abc', 'Bearer ab', 'Bearer abc d', 'Bearer'])
    expect(await send(bearer, { authorization: value }), value).toBeDefined();
});

it('each has an example that its own schema takes', async () => {
  const { parse } = await import('yaml');
  for (const { name, example, options } of ALL) {
    const given: unknown = parse(example);
    const changed = JSON.parse(JSON.stringify(given).replaceAll(/\$\{file:[^}]*\}/g, STANDARD.secret)) as unknown;
    const parsed = options.safeParse(changed);
    expect(parsed.success, name).toBe(true);
  }
});
