import { describe, expect, it } from 'vitest';
import { messageIds } from '../../../src/deliver/ids.ts';

const AT = { sequence: 42, deliveries: 1, milliseconds: 1_767_322_000_000, nanoseconds: 123 };

describe('messageIds', () => {
  it('are what they were in every release: a change would deliver twice what is in flight', () =>
    expect(messageIds('EVENTS', 'billing', 'partner')(AT)).toBe('_rfthqauIryYqOO6srKDk0.16.mjw9vyps.3f'));

  it('do not depend on how often the server delivered', () => {
    const id = messageIds('EVENTS', 'billing', 'partner');
    expect(id({ ...AT, deliveries: 7 })).toBe(id(AT));
  });

  it('differ in each of their parts', () => {
    const ids = [
      messageIds('EVENTS', 'billing', 'partner')(AT),
      messageIds('EVENTS2', 'billing', 'partner')(AT),
      messageIds('EVENTS', 'billing2', 'partner')(AT),
      messageIds('EVENTS', 'billing', 'partner2')(AT),
      messageIds('EVENTS', 'billing', 'partner', 'redrive-1')(AT),
      messageIds('EVENTS', 'billing', 'partner', 'redrive-2')(AT),
      messageIds('EVENTS', 'billing', 'partner')({ ...AT, sequence: 43 }),
      messageIds('EVENTS', 'billing', 'partner')({ ...AT, milliseconds: AT.milliseconds + 1 }),
      messageIds('EVENTS', 'billing', 'partner')({ ...AT, nanoseconds: 124 }),
      // The same text, cut elsewhere.
      messageIds('EVENTSb', 'illing', 'partner')(AT),
      messageIds('EVENTS', 'billingp', 'artner')(AT),
      messageIds('EVENTS', 'billing","partner', '')(AT),
      messageIds('EVENTS', 'billing', 'partner')({ ...AT, sequence: 4, milliseconds: 2_176_782_336_000 }),
    ];
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('can stand in a header', () => expect(messageIds('ä', '\r\n', ' ')(AT)).toMatch(/^[\w.-]+$/));
});
