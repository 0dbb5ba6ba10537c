import { expect, it } from 'vitest';
import { alternativeNames } from '../../../../src/http/auth/certificate.ts';

it.each([
  ['', []],
  ['DNS:ops.example', ['DNS:ops.example']],
  [
    'DNS:a.example, URI:spiffe://x/ops, IP Address:10.0.0.1',
    ['DNS:a.example', 'URI:spiffe://x/ops', 'IP Address:10.0.0.1'],
  ],
  // One name that was made to look like two.
  ['DNS:"a.example, DNS:ops.example"', ['DNS:a.example, DNS:ops.example']],
  ['DNS:"a\\"b, DNS:ops.example", email:x@y', ['DNS:a"b, DNS:ops.example', 'email:x@y']],
])('%j are %j', (text, names) => expect(alternativeNames(text)).toEqual(names));
