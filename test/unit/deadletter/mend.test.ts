/** Mending dead letters with `--set`: the bytes that come out, and what is refused. */
import { describe, expect, it } from 'vitest';
import { compileMend, type MendFields } from '../../../src/deadletter/mend.ts';
import type { DeadLetter } from '../../../src/deadletter/read.ts';
import { parse } from '../config/helpers.ts';
import { letterOf } from './helpers.ts';

const { config } = parse(`
version: 1
streams: { EVENTS: { subjects: ["events.>"], strip: "events." } }
filters: { big: event.data.total > 1000 }
`);

const mended = (fields: MendFields, letter: Partial<DeadLetter> = {}) => {
  const { body, changes } = compileMend(fields, config)(letterOf(letter));
  return { body: Buffer.from(body).toString(), changes };
};

const refused = (fields: MendFields): unknown => {
  try {
    return compileMend(fields, config);
  } catch (error) {
    return error;
  }
};

describe('a mended letter', () => {
  it('has the data that the expressions say, as it was before', () => {
    expect(
      mended({ 'data.currency': '"EUR"', 'data.total': 'event.data.total * 2', 'data.was': 'event.data.total' }),
    ).toEqual({
      body: '{"id":"o-1","total":3000,"currency":"EUR","was":1500}',
      changes: [
        { op: 'change', path: 'data.total', before: 1500, after: 3000 },
        { op: 'add', path: 'data.currency', after: 'EUR' },
        { op: 'add', path: 'data.was', after: 1500 },
      ],
    });
    expect(mended({ 'data.big': 'filters.big' }).body).toBe('{"id":"o-1","total":1500,"big":true}');
    expect(mended({ 'data.items[1].n': '1' }).body).toBe('{"id":"o-1","total":1500,"items":[null,{"n":1}]}');
  });

  it('keeps integers that no JavaScript number holds', () => {
    const body = Buffer.from('{"order":12345678901234567890}');
    expect(mended({ 'data.ok': 'true' }, { body }).body).toBe('{"order":12345678901234567890,"ok":true}');
  });

  it('keeps the envelope of a CloudEvent, and all that is in it', () => {
    const body = Buffer.from('{"specversion":"1.0","id":"1","source":"/s","type":"t","tenant":7,"data":{"a":1}}');
    expect(mended({ 'data.b': '2' }, { body }).body).toBe(
      '{"specversion":"1.0","id":"1","source":"/s","type":"t","tenant":7,"data":{"a":1,"b":2}}',
    );
  });

  it('can have other data altogether, also where the old is no JSON', () => {
    expect(mended({ data: '{"a": 1}' }, { body: Buffer.from('no JSON') }).body).toBe('{"a":1}');
    const headers = [['Content-Type', 'text/plain']] as const;
    expect(mended({ data: 'event.data + "!"' }, { body: Buffer.from('text'), headers }).body).toBe('text!');
  });

  it('cannot be made of what is not there', () => {
    const error = (fields: MendFields, letter?: Partial<DeadLetter>): unknown => {
      try {
        return mended(fields, letter);
      } catch (failure) {
        return failure;
      }
    };
    expect(error({ 'data.copy': 'event.data.gone' })).toMatchObject({ code: 'EVENT_MISSING_FIELD' });
    expect(error({ 'data.x': '1' }, { body: Buffer.from('no JSON') })).toMatchObject({ code: 'EVENT_UNDECODABLE' });
    expect(error({ 'data.id.x': '1' })).toMatchObject({ code: 'EVENT_EXPRESSION' });
  });

  it('says what is wrong with --set, and where', () => {
    expect(refused({ 'data.x': '1 +' })).toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/^--set data\.x: .*\n1 \+\n {3}\^/) as string,
    });
    expect(refused({ 'data.x': 'filters.bog' })).toMatchObject({
      message: expect.stringMatching(/filters\.big/) as string,
    });
    expect(refused({ 'event.data.x': '1' })).toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/a path starts at data, without `event\.`/) as string,
    });
    for (const path of ['type', 'ext.tenant', 'subject'])
      expect(refused({ [path]: '"x"' })).toMatchObject({
        code: 'USAGE',
        message: expect.stringMatching(/only the data/) as string,
      });
  });
});
