/** Events of every sort, the same for every component. */

export interface Sample {
  readonly kind: string;
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  /** Whether the body is the data, and not an envelope around it. */
  readonly bodyIsData: boolean;
}

/** An order that has every field which the examples of the components use. */
const ORDER = {
  id: 'o-1',
  customer: 'c-7',
  total: 1500,
  card: '4111111111111111',
  email: 'ada@example.com',
  internal: { notes: 'call before noon' },
};

/** What every component must let through: the kind whose examples it was written for. */
export const GOOD = 'order';

const DEPTH = 2000;
const MEBIBYTE = 1024 * 1024;
const envelope = { specversion: '1.0', id: 'ce-1', source: '/shop', type: 'orders.created', data: ORDER };
const order = JSON.stringify(ORDER);
const fields = order.slice(1);

function sample(
  kind: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
  bodyIsData = true,
): Sample {
  return { kind, body: typeof body === 'string' ? Buffer.from(body) : body, headers, bodyIsData };
}

export const SAMPLES: readonly Sample[] = [
  sample(GOOD, order),
  sample('spaced', `{ "id" :  "o-2",\n "customer":"c-7", "total" : 1.50e3 }\n`),
  sample('fieldless', '{ "other" : true }'),
  sample('list', '[1, 2, 3]'),
  sample('null', 'null'),
  sample('text', 'just text, no JSON'),
  sample('declared-text', 'just text', { 'Content-Type': 'text/plain' }),
  sample('empty', ''),
  sample('binary', Uint8Array.from({ length: 256 }, (_, index) => index)),
  sample('declared-binary', Uint8Array.from({ length: 256 }, (_, index) => 255 - index), {
    'Content-Type': 'application/octet-stream',
  }),
  // As large as the server takes: with a single header more it cannot be published again.
  sample('mebibyte', `{"pad":"${'x'.repeat(MEBIBYTE - fields.length - 10)}",${fields}`.padEnd(MEBIBYTE)),
  sample('deep', '['.repeat(DEPTH) + ']'.repeat(DEPTH)),
  sample('deep-object', `${'{"a":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}`),
  sample(
    'prototype-keys',
    `{"__proto__":{"total":1},"constructor":{"prototype":{"id":1}},"prototype":[],"hasOwnProperty":1,${fields}`,
  ),
  sample('large-integer', `{"serial":1234567890123456789,"id":9223372036854775807,${fields.replace('"id":"o-1",', '')}`),
  sample('wrong-types', '{"id":null,"customer":{"name":["c"]},"total":"much","card":[],"email":7,"internal":"x"}'),
  sample('headers', order, { 'X-Tenant': 'blue', 'x-note': 'grün, "quoted": yes', 'Ouzel-Hops': '2' }),
  sample('cloudevent-binary', order, {
    'ce-specversion': '1.0',
    'ce-id': 'ce-2',
    'ce-source': '/shop%20floor',
    'ce-type': 'orders.created',
    'ce-time': '2026-01-31T08:00:00.123Z',
    'ce-tenant': 'blue',
    'Content-Type': 'application/json',
  }),
  sample('cloudevent-incomplete', order, { 'ce-specversion': '1.0', 'ce-id': 'ce-3' }),
  sample(
    'cloudevent-structured',
    JSON.stringify({ ...envelope, id: 'ce-4', tenant: 'blue' }),
    { 'Content-Type': 'application/cloudevents+json; charset=utf-8' },
    false,
  ),
  sample('cloudevent-undeclared', JSON.stringify({ ...envelope, id: 'ce-5' }), {}, false),
  sample('cloudevent-broken', '{"specversion":"1.0"', { 'Content-Type': 'application/cloudevents+json' }, false),
];
