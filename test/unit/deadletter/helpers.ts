/** Dead letters from plain values. */
import type { DeadLetter } from '../../../src/deadletter/read.ts';
import type { Bodies } from '../../../src/nats/bodies.ts';

/** A letter of billing; what is given replaces what it would have. */
export const letterOf = (more: Partial<DeadLetter> = {}): DeadLetter => ({
  sequence: 7,
  consumer: 'billing',
  routes: [],
  reason: 'rejected',
  error: 'TARGET_REJECTED: no',
  attempts: 5,
  stream: 'EVENTS',
  subject: 'events.orders.created',
  eventSequence: 42,
  time: '2026-01-02T03:04:05.006000007Z',
  firstFailed: '2026-01-02T10:00:00.000Z',
  failed: '2026-01-02T11:00:00.000Z',
  key: 'o-1',
  run: 'first',
  traceId: undefined,
  messageId: 'm-1',
  headers: [],
  body: Buffer.from('{"id":"o-1","total":1500}'),
  bodyName: undefined,
  headersName: undefined,
  ...more,
});

/** Where nothing is stored apart. */
export const noBodies: Bodies = {
  put: () => Promise.reject(new Error('nothing is stored here')),
  get: () => Promise.resolve(undefined),
  delete: () => Promise.resolve(),
};
