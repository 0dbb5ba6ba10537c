/** What is to be done on the server, without one. */
import type { ConsumerInfo, StreamConfig } from '@nats-io/jetstream';
import { describe, expect, it } from 'vitest';
import { covers } from '../../../src/core/subjects.ts';
import { allowed } from '../../../src/nats/permissions.ts';
import { type DurableSpec, planDurable, planStream, type StreamSpec } from '../../../src/nats/plan.ts';

const STREAM: StreamSpec = { name: 'EVENTS', subjects: ['events.>'], maxAge: 1_000, storage: 'file', manage: true };
const onServer = (more: Partial<StreamConfig> = {}): StreamConfig =>
  ({
    name: 'EVENTS',
    subjects: ['events.>'],
    max_age: 1_000_000_000,
    storage: 'file',
    num_replicas: 1,
    ...more,
  }) as StreamConfig;

describe('a stream', () => {
  it('is made when it is not there', () => {
    expect(planStream(undefined, STREAM)).toMatchObject({
      action: 'make',
      config: { name: 'EVENTS', subjects: ['events.>'], max_age: 1_000_000_000 },
    });
  });

  it('is left alone when nothing differs, whatever else the server has', () => {
    expect(planStream(onServer({ num_replicas: 3 }), STREAM)).toEqual({ action: 'none', kept: [] });
  });

  it('is changed only with manage: true, and keeps what the configuration does not name', () => {
    const found = onServer({ max_age: 5, num_replicas: 3 });
    const difference = { field: 'max_age', server: 5, config: 1_000_000_000 };
    expect(planStream(found, STREAM)).toMatchObject({
      action: 'change',
      changed: [difference],
      config: { num_replicas: 3, max_age: 1_000_000_000 },
    });
    expect(planStream(found, { ...STREAM, manage: false })).toEqual({ action: 'none', kept: [difference] });
  });

  it('of our own is given what it does not allow yet, and nothing else', () => {
    const own: StreamSpec = { ...STREAM, options: { allow_direct: true, deny_delete: true }, manage: false };
    const found = onServer({ allow_direct: false, max_age: 5 });
    expect(planStream(found, own)).toMatchObject({
      action: 'change',
      changed: [{ field: 'allow_direct', server: false, config: true }],
      kept: [{ field: 'deny_delete' }, { field: 'max_age' }],
      config: { allow_direct: true, max_age: 5 },
    });
    const others = { ...own, options: { allow_direct: false } };
    expect(planStream(onServer({ allow_direct: true }), others)).toMatchObject({ action: 'none' });
  });

  it('is refused where no server would change it', () => {
    expect(() => planStream(onServer({ storage: 'memory' }), STREAM)).toThrow(
      /its storage is memory and cannot become file/,
    );
  });
});

const DURABLE: DurableSpec = {
  name: 'billing',
  stream: 'EVENTS',
  subjects: ['events.a', 'events.b'],
  start: 'new',
  ackWait: 30_000,
  pinned: false,
  maxAckPending: 100,
  adopt: false,
  onRemove: 'keep',
  revision: 'r1',
};
const stream = { config: { subjects: ['events.>'] }, state: { last_seq: 10 }, created: '2026-01-01T00:00:00Z' };
const durable = (config: object = {}): ConsumerInfo => {
  const info: Partial<Omit<ConsumerInfo, 'config'>> & { config: object } = {
    config: {
      ack_policy: 'explicit',
      ack_wait: 30_000_000_000,
      max_deliver: -1,
      max_ack_pending: 100,
      filter_subjects: ['events.b', 'events.a'],
      metadata: { 'ouzel.owner': 'ouzel', 'ouzel.revision': 'r1', 'ouzel.on_remove': 'keep' },
      ...config,
    },
  };
  return info as ConsumerInfo;
};

describe('a durable', () => {
  it('is made when it is not there, where it is told to start', () => {
    const plan = planDurable({ stream, durable: undefined }, DURABLE);
    expect(plan).toMatchObject({ action: 'make', config: { durable_name: 'billing', deliver_policy: 'new' } });
    expect(planDurable({ stream, durable: undefined }, DURABLE, { sequence: 7, streamMade: undefined })).toMatchObject({
      config: { deliver_policy: 'by_start_sequence', opt_start_seq: 7 },
    });
    expect(planDurable({ stream, durable: undefined }, DURABLE, { sequence: 12, streamMade: undefined })).toMatchObject(
      {
        config: { deliver_policy: 'all' },
      },
    );
  });

  it('is left alone when nothing differs: the order of subjects is no difference', () => {
    expect(planDurable({ stream, durable: durable() }, DURABLE)).toEqual({ action: 'none' });
  });

  it('is changed in what the server lets change', () => {
    expect(planDurable({ stream, durable: durable({ ack_wait: 1 }) }, DURABLE)).toMatchObject({
      action: 'change',
      changed: [{ field: 'ack_wait', server: 1, config: 30_000_000_000 }],
      marks: [],
    });
  });

  it('notes its revision, which is no change of the durable', () => {
    expect(planDurable({ stream, durable: durable() }, { ...DURABLE, revision: 'r2' })).toMatchObject({
      action: 'change',
      changed: [],
      marks: [{ field: 'ouzel.revision', server: 'r1', config: 'r2' }],
    });
  });

  it.each([
    ['that somebody else made', durable({ metadata: {} }), {}, 'DURABLE_FOREIGN'],
    ['without acks', durable({ ack_policy: 'none' }), {}, 'DURABLE_REFUSED'],
    ['that pushes', durable({ deliver_subject: 'x' }), {}, 'DURABLE_REFUSED'],
    ['with subjects that overlap', undefined, { subjects: ['events.>', 'events.a'] }, 'DURABLE_REFUSED'],
    ['with a subject that the stream never holds', undefined, { subjects: ['other.a'] }, 'STREAM_NOT_FOUND'],
  ] as const)('is refused: one %s', (_what, found, more, code) => {
    expect(() => planDurable({ stream, durable: found }, { ...DURABLE, ...more })).toThrow(
      expect.objectContaining({ code }),
    );
  });

  it('is refused without a stream', () => {
    expect(() => planDurable({ stream: undefined, durable: undefined }, DURABLE)).toThrow(/there is no stream EVENTS/);
  });
});

it.each([
  ['a.>', 'a.b', true],
  ['a.>', 'a.b.>', true],
  ['a.>', 'a', false],
  ['a.*', 'a.b', true],
  ['a.*', 'a.*', true],
  ['a.*', 'a.>', false],
  ['a.b', 'a.*', false],
  ['a.b', 'a.b.c', false],
  ['>', 'x', true],
  ['*.b', 'a.b', true],
])('%s covers %s: %s', (wide, narrow, expected) => {
  expect(covers(wide, narrow)).toBe(expected);
});

it.each([
  [{}, 'a.b', true],
  [{ allow: [] }, 'a.b', true],
  [{ allow: ['a.>'] }, 'a.*', true],
  [{ allow: ['a.b'] }, 'a.*', false],
  [{ allow: ['>'], deny: ['a.>'] }, 'a.b', false],
  [{ deny: ['b'] }, 'a', true],
])('permissions %j let publish %s: %s', (permissions, subject, expected) => {
  expect(allowed(permissions, subject)).toBe(expected);
});
