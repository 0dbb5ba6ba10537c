import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import { expect, it } from 'vitest';
import type { Publisher } from '../../../src/deliver/ports.ts';
import { decideTimer } from '../../../src/nats/waiting.ts';
import { redriven } from '../core/handed.ts';

it('leaves a timer alone that may be going off', async () => {
  const nobody = (): never => {
    throw new Error('asked');
  };
  const ports = {
    manager: { streams: { deleteMessage: nobody } } as unknown as JetStreamManager,
    publisher: { publish: nobody, publishCore: nobody } as Publisher,
  };
  for (const left of [-1_000, 0, 9_000])
    for (const cancelled of [true, false]) {
      const until = Date.now() + left;
      const waiting = { id: 'timer-7', why: 'delay', until, key: undefined, handover: redriven(), attempts: 0 };
      const decided = decideTimer(ports, 'billing', waiting, {} as StoredMsg, cancelled);
      await expect(decided).rejects.toMatchObject({ code: 'CONFLICT' });
    }
});
