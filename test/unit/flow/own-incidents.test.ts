import { expect, it } from 'vitest';
import type { Run } from '../../../src/core/run.ts';
import { ownIncidentsStep } from '../../../src/flow/own-incidents.ts';
import { jsonEvent, outcome } from '../core/helpers.ts';

const own = outcome('filtered', 'own_incident');

it.each([
  ['ops', own],
  ['billing,ops', own],
  ['billing, ops', own],
  ['ops2', undefined],
  ['my-ops,billing', undefined],
  ['', undefined],
  [undefined, undefined],
])('of an incident that concerns %j, ops hears only where it is somebody else', (concerns, verdict) => {
  const headers = concerns === undefined ? {} : { headers: { 'Ouzel-Concerns': concerns } };
  const run = { event: jsonEvent({}, headers) } as Run;
  expect(ownIncidentsStep('ops', own).run(run)).toBe(verdict);
});
