/** Signatures of webhooks against what others have published of them. */
import { describe, expect, it } from 'vitest';
import { createSigner, signOptions } from '../../../src/deliver/http/sign.ts';

const sign = (given: unknown, id: string, timestamp: string, body: string) =>
  createSigner(signOptions().parse(given))({ id, timestamp, body });

const problems = (given: unknown): string[] =>
  (signOptions().safeParse(given).error?.issues ?? []).map(({ message }) => message);

/** The vectors of the reference libraries of Standard Webhooks, and of Svix, whose scheme it is. */
const SVIX = ['msg_27UH4WbU6Z5A5EzD8u03UvzRbpk', '1649367553'] as const;
const USER = '{"email":"test@example.com","username":"test_user"}';
const SHARED = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD';
const PRIVATE = 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==';
const V1 = 'v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=';
const REFERENCE = ['msg_p5jXN8AQM9LWM0D4loKWxJek', '1614265330', '{"test": 2432232314}'] as const;
const V1_REFERENCE = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
const V1A = 'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==';

describe('Standard Webhooks', () => {
  it.each<[secrets: string[], id: string, timestamp: string, body: string, signature: string]>([
    [[SHARED], ...SVIX, USER, V1],
    [['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'], ...REFERENCE, V1_REFERENCE],
    [[PRIVATE], ...REFERENCE, V1A],
    // The seed without its public key says the same.
    [['whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc='], ...REFERENCE, V1A],
    [['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', PRIVATE], ...REFERENCE, `${V1_REFERENCE} ${V1A}`],
  ])('%j signs as published', (secrets, id, timestamp, body, signature) =>
    expect(sign({ standard: { secrets } }, id, timestamp, body)).toEqual({ 'webhook-signature': signature }),
  );

  it('text and its bytes have one signature', () => {
    const signer = createSigner(signOptions().parse({ standard: { secrets: [SHARED, PRIVATE] } }));
    const text = 'grün 🐦';
    expect(signer({ id: 'a', timestamp: '1', body: Buffer.from(text) })).toEqual(
      signer({ id: 'a', timestamp: '1', body: text }),
    );
  });

  it.each<[secret: string, problem: string]>([
    ['s3cret-of-mine', 'neither with whsec_'],
    ['whsec_hush hush', 'not base64'],
    ['whsec_', 'has 0 bytes'],
    [`whsec_${Buffer.alloc(23).toString('base64')}`, 'has 23 bytes'],
    [`whsec_${Buffer.alloc(65).toString('base64')}`, 'has 65 bytes'],
    [`whsk_${Buffer.alloc(33).toString('base64')}`, 'has 33 bytes'],
    ['whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=', 'is a public key'],
  ])('%j is refused, and not shown', (secret, problem) => {
    const [said = '', ...others] = problems({ standard: { secrets: [secret] } });
    expect(others).toEqual([]);
    expect(said).toContain(problem);
    expect(said).not.toContain(secret);
  });
});

it("signs as GitHub's documentation has it", () =>
  expect(sign({ github: { secret: "It's a Secret to Everybody" } }, 'a', '1', 'Hello, World!')).toEqual({
    'x-hub-signature-256': 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
  }));

/** RFC 4231, test case 2. */
describe('a plain HMAC', () => {
  const body = 'what do ya want for nothing?';
  const SHA256 = '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843';
  const SHA512 =
    '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737';
  it.each([
    [{}, SHA256],
    [{ prefix: 'sha256=' }, `sha256=${SHA256}`],
    [{ encoding: 'base64' }, Buffer.from(SHA256, 'hex').toString('base64')],
    [{ algorithm: 'sha512' }, SHA512],
  ])('%j', (options, signature) =>
    expect(sign({ hmac: { secret: 'Jefe', header: 'X-Signature', ...options } }, 'a', '1', body)).toEqual({
      'x-signature': signature,
    }),
  );

  it.each(['webhook-signature', 'Host', 'a b', 'ouzel-hops'])('has no header %j', (header) =>
    expect(problems({ hmac: { secret: 'Jefe', header } })).toHaveLength(1),
  );
});

it('something has to be signed with', () => expect(problems({})).toHaveLength(1));
