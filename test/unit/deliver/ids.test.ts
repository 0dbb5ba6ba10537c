import { describe, expect, it } from 'vitest';
import { messageIds } from '../../../src/deliver/ids.ts';

const POSITION = { sequence: 42, deliveries: 1, milliseconds: 1_767_322_000_000, nanoseconds: 123 };
/** The first passage of an event. */
const AT = { id: '', event: { position: POSITION } };
const at = (change: Partial<typeof POSITION>) => ({ id: '', event: { position: { ...POSITION, ...change } } });

describe('messageIds', () => {
  it('are what they were in every release: a change would deliver twice what is in flight', () =>
    expect(messageIds('EVENTS', 'billing', 'partner')(AT)).toBe('_rfthqauIryYqOO6srKDk0.16.mjw9vyps.3f'));

  it('do not depend on how often the server delivered', () => {
    const id = messageIds('EVENTS', 'billing', 'partner');
    expect(id(at({ deliveries: 7 }))).toBe(id(AT));
  });

  it('differ in each of their parts', () => {
    const ids = [
      messageIds('EVENTS', 'billing', 'partner')(AT),
      messageIds('EVENTS2', 'billing', 'partner')(AT),
      messageIds('EVENTS', 'billing2', 'partner')(AT),
      messageIds('EVENTS', 'billing', 'partner2')(AT),
      messageIds('EVENTS', 'billing', 'partner')({ ...AT, id: 'redrive-1' }),
      messageIds('EVENTS', 'billing', 'partner')({ ...AT, id: 'redrive-2' }),
      messageIds('EVENTS', 'billing', 'partner')(at({ sequence: 43 })),
      messageIds('EVENTS', 'billing', 'partner')(at({ milliseconds: POSITION.milliseconds + 1 })),
      messageIds('EVENTS', 'billing', 'partner')(at({ nanoseconds: 124 })),
      // The same text, cut elsewhere.
      messageIds('EVENTSb', 'illing', 'partner')(AT),
      messageIds('EVENTS', 'billingp', 'artner')(AT),
      messageIds('EVENTS', 'billing","partner', '')(AT),
      messageIds('EVENTS', 'billing', 'partner')(at({ sequence: 4, milliseconds: 2_176_782_336_000 })),
    ];
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('can stand in a header', () => expect(messageIds('ä', '\r\n', ' ')(AT)).toMatch(/^[\w.-]+$/));
});
