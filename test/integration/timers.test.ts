/** OUZEL_TIMERS: what a killed server may leave in it, and what an older version made of it. */
import { AckPolicy, DeliverPolicy } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { ensureStream } from '../../src/nats/provision.ts';
import {
  countMatching,
  removeAcked,
  TIMER_STREAM_OPTIONS,
  TIMER_STREAM,
  TIMER_SUBJECTS,
} from '../../src/nats/timers.ts';
import { addStream, connectTo, publish } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

test('what was acked and is still there is removed, and nothing else', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  // Retention by limits keeps what was acked, as a work queue does whose server is killed between the two.
  await addStream(client, TIMER_STREAM, TIMER_SUBJECTS);
  for (const name of ['a', 'b'])
    await client.jsm.consumers.add(TIMER_STREAM, {
      durable_name: name,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      filter_subject: `ouzel.due.${name}`,
    });
  const left = async (): Promise<Record<string, number>> =>
    (await client.jsm.streams.info(TIMER_STREAM, { subjects_filter: '>' })).state.subjects ?? {};
  const take = async (name: string, count: number): Promise<void> => {
    const messages = await (await client.js.consumers.get(TIMER_STREAM, name)).fetch({ max_messages: count });
    for await (const message of messages) await message.ackAck();
  };
  const atRest = (name: string): Promise<unknown> =>
    waitFor(async () => (await client.jsm.consumers.info(TIMER_STREAM, name)).num_ack_pending === 0, { what: 'acks' });

  for (const subject of ['ouzel.due.a', 'ouzel.due.b', 'ouzel.timer.a.retry.x', 'ouzel.due.a'])
    await publish(client, { subject, body: 'event' });
  await take('a', 1);
  await atRest('a');
  // One is pending: nothing is said of what was acked.
  await removeAcked(client.jsm, 'a');
  expect(await left()).toEqual({ 'ouzel.due.a': 2, 'ouzel.due.b': 1, 'ouzel.timer.a.retry.x': 1 });
  await take('a', 1);
  await atRest('a');
  await removeAcked(client.jsm, 'a');
  await removeAcked(client.jsm, 'b');
  expect(await left()).toEqual({ 'ouzel.due.b': 1, 'ouzel.timer.a.retry.x': 1 });
});

test('a stream that an older version made is given what it lacks, and keeps what is in it', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const { allow_direct: _lacks, ...before } = TIMER_STREAM_OPTIONS;
  await addStream(client, TIMER_STREAM, TIMER_SUBJECTS, { ...before, storage: 'file' });
  await publish(client, { subject: 'ouzel.due.a', body: 'event' });
  const count = async (): Promise<number | undefined> => countMatching(client.jsm, TIMER_STREAM, 'ouzel.due.*');
  expect(await count()).toBeUndefined();
  const spec = { name: TIMER_STREAM, subjects: TIMER_SUBJECTS, options: TIMER_STREAM_OPTIONS, manage: false };
  const { made, changed, kept } = await ensureStream(client.jsm, spec);
  expect({ made, changed: changed.map(({ field }) => field), kept }).toEqual({
    made: false,
    changed: ['allow_direct'],
    kept: [],
  });
  expect(await count()).toBe(1);
  expect(await ensureStream(client.jsm, spec)).toEqual({ made: false, changed: [], kept: [] });
});
