import { expect, it } from 'vitest';
import { withoutSecrets } from '../../../src/audit/redact.ts';

const redact = (text: string): string => text.replaceAll('known-secret', '***');

it('takes out what stands under the name of a secret, and leaves what says where one is', () => {
  const target = {
    webhook: {
      url: 'https://ann:hunter2@partner.example/in',
      headers: { Authorization: 'Bearer abc', 'X-Api-Key': 'k', 'X-Team': 'ops' },
      sign: { standard: { secrets: ['whsec_plain', '${file:/run/secrets/partner}'] } },
    },
    sql: { key: ['id'], password: 12345, values: { api_key: { nested: 'deep' } } },
    note: 'this is known-secret text',
  };
  expect(withoutSecrets(target, redact)).toEqual({
    webhook: {
      url: 'https://***@partner.example/in',
      headers: { Authorization: '***', 'X-Api-Key': '***', 'X-Team': 'ops' },
      sign: { standard: { secrets: ['***', '${file:/run/secrets/partner}'] } },
    },
    sql: { key: ['id'], password: '***', values: { api_key: { nested: '***' } } },
    note: 'this is *** text',
  });
});

it('takes out the URLs that are all it takes to post', () => {
  const url = 'https://hooks.slack.com/services/T0/B0/x';
  const pagerduty = { routing_key: 'k', dedup_key: '{{ event.id }}', url: 'https://events.pagerduty.com/v2/enqueue' };
  expect(withoutSecrets({ notify: { slack: { url }, pagerduty } }, redact)).toEqual({
    notify: { slack: { url: '***' }, pagerduty: { ...pagerduty, routing_key: '***' } },
  });
});

it('leaves everything else as it is', () => {
  const state = { a: [1, true, null, 'x'], key: 'event.data.id', b: { c: {} } };
  expect(withoutSecrets(state, redact)).toEqual(state);
  expect(withoutSecrets('text', redact)).toBe('text');
  expect(withoutSecrets(undefined, redact)).toBeUndefined();
});

it('ends on what is nested without an end in sight', () => {
  let deep: unknown = 'x';
  for (let depth = 0; depth < 1000; depth++) deep = [deep];
  expect(JSON.stringify(withoutSecrets(deep, redact))).toContain('***');
});
