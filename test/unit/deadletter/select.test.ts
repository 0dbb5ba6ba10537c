/** Which dead letters are meant, and what is said of selectors that mean nothing. */
import { describe, expect, it } from 'vitest';
import type { DeadLetter } from '../../../src/deadletter/read.ts';
import { letterQuery, type LetterSelectors } from '../../../src/deadletter/select.ts';
import { parse } from '../config/helpers.ts';
import { letterOf, noBodies } from './helpers.ts';

const { config } = parse(`
version: 1
streams: { EVENTS: { subjects: ["events.>"], strip: "events.", key: event.data.id } }
filters: { big: event.data.total > 1000 }
consumers: { billing: { stream: EVENTS } }
`);
const NOW = Date.parse('2026-01-02T12:00:00Z');

const selects = async (selectors: LetterSelectors, letter: Partial<DeadLetter> = {}): Promise<boolean> =>
  letterQuery(selectors, { config, bodies: noBodies }, NOW).matches(letterOf(letter));

const problem = (selectors: LetterSelectors): unknown => {
  try {
    return letterQuery(selectors, { config, bodies: noBodies }, NOW);
  } catch (error) {
    return error;
  }
};

describe('selectors', () => {
  it('take all where none is given, and only what all of them mean', async () => {
    expect(await selects({})).toBe(true);
    expect(await selects({ consumer: 'billing', key: 'o-1', reason: 'rejected', type: 'orders.created' })).toBe(true);
    expect(await selects({ consumer: 'billing', key: 'o-2' })).toBe(false);
    expect(await selects({ reason: 'reject' })).toBe(false);
    expect(await selects({ key: 'o-1' }, { key: undefined })).toBe(false);
  });

  it('know types by pattern, several of them, and those of CloudEvents', async () => {
    expect(await selects({ type: 'orders.*' })).toBe(true);
    expect(await selects({ type: 'payments.>,orders.created' })).toBe(true);
    expect(await selects({ type: 'events.orders.created' })).toBe(false);
    const headers = [
      ['ce-specversion', '1.0'],
      ['ce-id', '1'],
      ['ce-source', '/s'],
      ['ce-type', 'other'],
    ] as const;
    expect(await selects({ type: 'other' }, { headers })).toBe(true);
  });

  it('ask an expression as a consumer would see the event', async () => {
    expect(await selects({ where: 'filters.big && event.id == "m-1"' })).toBe(true);
    expect(await selects({ where: 'msg.stream == "EVENTS" && msg.seq == 42 && msg.attempt == 5' })).toBe(true);
    expect(await selects({ where: 'event.time == timestamp("2026-01-02T03:04:05.006Z")' })).toBe(true);
    expect(await selects({ where: 'event.data.gone == 1' })).toBe(false);
    expect(await selects({ where: '!has(event.data.gone)' })).toBe(true);
    expect(await selects({ where: 'event.data.total / 0 > 1' })).toBe(false);
    expect(await selects({ where: 'true' }, { body: Buffer.from('no JSON') })).toBe(true);
    expect(await selects({ where: 'event.data.total > 0' }, { body: Buffer.from('no JSON') })).toBe(false);
  });

  it('know when an event became a dead letter, as an instant or as so long ago', async () => {
    const failed = '2026-01-02T11:00:00.000Z';
    expect(await selects({ since: '2h' }, { failed })).toBe(true);
    expect(await selects({ since: '30m' }, { failed })).toBe(false);
    expect(await selects({ until: '30m' }, { failed })).toBe(true);
    expect(await selects({ since: '2026-01-02T12:00:00+01:00' }, { failed })).toBe(true);
    expect(await selects({ since: '2026-01-02T12:00:00Z' }, { failed })).toBe(false);
    expect(await selects({ since: '2h', until: '1h30m' }, { failed })).toBe(false);
  });

  it('say what was expected', () => {
    expect(problem({ since: 'yesterday' })).toMatchObject({
      code: 'USAGE',
      message:
        '--since: "yesterday" is no instant. Write date, time and zone (2026-01-31T08:00:00Z), or how long ago (2h)',
    });
    expect(problem({ until: '2026-01-31' })).toMatchObject({ code: 'USAGE' });
    expect(problem({ since: '1h', until: '2h' })).toMatchObject({
      message: expect.stringMatching(/--since lies after/) as string,
    });
    expect(problem({ consumer: '>' })).toMatchObject({
      message: expect.stringMatching(/no name of a consumer/) as string,
    });
    expect(problem({ where: 'event.data.total >' })).toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/^--where: .*\nevent\.data\.total >\n {18}\^/) as string,
    });
    expect(problem({ where: 'filters.bog' })).toMatchObject({
      message: expect.stringMatching(/filters\.big/) as string,
    });
  });
});
