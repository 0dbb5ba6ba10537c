import { expect, test } from 'vitest';
import { holdsStars, redactedText, redactedValue } from '../../../src/config/redacted.ts';

const known = (text: string): string => text.replaceAll('known-secret', '***');

test('the text of an entry keeps all but its secrets', () => {
  const text = [
    'webhook: # where to',
    '  url: https://me:pass@partner.example/in?token=abc&n=1',
    '  headers: { authorization: "Bearer x", x-api-key: y, accept: "*/*", x-note: known-secret }',
    '  sign: { standard: { secrets: [whsec_1, "${file:/run/secrets/partner}", ${OLD}] } }',
    '',
  ].join('\n');
  expect(redactedText(text, known).split('\n')).toEqual([
    'webhook: # where to',
    '  url: https://me:***@partner.example/in?token=***&n=1',
    '  headers: { authorization: "***", x-api-key: "***", accept: "*/*", x-note: *** }',
    '  sign: { standard: { secrets: ["***", "${file:/run/secrets/partner}", ${OLD}] } }',
    '',
  ]);
});

test('the URL of a chat is a secret whole', () => {
  const text = 'notify: { slack: { url: https://hooks.slack.com/x }, message: x, ntfy: { url: https://ntfy.sh/x } }\n';
  expect(redactedText(text, known)).toBe(text.replace('https://hooks.slack.com/x', '"***"'));
  expect(redactedValue({ slack: { url: 'https://hooks.slack.com/x' } }, known)).toEqual({ slack: { url: '***' } });
});

test('JSON that was shown is JSON still', () => {
  const text = '{"sql":{"url":"postgres://u:p@db/x","password":12345,"key":["id"]},"token":"a\\"b"}';
  expect(JSON.parse(redactedText(text, known))).toEqual({
    sql: { url: 'postgres://u:***@db/x', password: '***', key: ['id'] },
    token: '***',
  });
});

test('a value is shown without marks, and without what sounds secret', () => {
  const value = {
    url: 'https://<secret 0123ab>@x.example',
    key: 'event.data.id',
    nkey: 'SU',
    password: ['${file:/x}', 7, true],
    note: 'known-secret',
    token: null,
  };
  expect(redactedValue(value, known)).toEqual({
    url: 'https://***@x.example',
    key: 'event.data.id',
    nkey: '***',
    password: ['${file:/x}', '***', true],
    note: '***',
    token: null,
  });
});

test('stars that were shown in place of a secret are known again', () => {
  expect(holdsStars('headers: { authorization: "***" }')).toBe(true);
  expect(holdsStars('# ***\nsubject: "a.***"\n')).toBe(false);
  expect(holdsStars('url: https://me:***@partner.example/in\n')).toBe(true);
});
