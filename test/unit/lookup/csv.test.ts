import { describe, expect, it } from 'vitest';
import { csvRecords, TableError } from '../../../src/lookup/tables/csv.ts';

const read = (text: string, delimiter = ','): (readonly string[])[] =>
  [...csvRecords(text, delimiter)].map(({ fields }) => fields);

describe('CSV', () => {
  it.each<[text: string, records: string[][]]>([
    ['', []],
    ['a', [['a']]],
    ['a,b\n', [['a', 'b']]],
    [
      'a,b\r\nc,d',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [
      'a,\n,b\n',
      [
        ['a', ''],
        ['', 'b'],
      ],
    ],
    ['a\n\nb\n\r\n', [['a'], ['b']]],
    ['""\n', [['']]],
    ['"a,b","c""d"\n', [['a,b', 'c"d']]],
    ['"a\nb\r\nc",d\r\n', [['a\nb\r\nc', 'd']]],
    ['"",""\r\n', [['', '']]],
    [' a , b ', [[' a ', ' b ']]],
    ['a\rb,c', [['a\rb', 'c']]],
    ['"x"', [['x']]],
    ['grün,😀\n', [['grün', '😀']]],
  ])('%j', (text, records) => expect(read(text)).toEqual(records));

  it('takes another delimiter', () => expect(read('a;"b;c";d,e\n', ';')).toEqual([['a', 'b;c', 'd,e']]));

  it('knows the line that a record begins in', () =>
    expect([...csvRecords('a\n"b\nb"\n\nc\n', ',')].map(({ line }) => line)).toEqual([1, 2, 5]));

  it.each<[text: string, message: RegExp, line: number]>([
    ['a\n"b\nc', /not closed/, 2],
    ['a\nb"c', /must be quoted/, 2],
    ['"a"b\n', /followed by "b"/, 1],
    ['"a" ,b\n', /followed by " "/, 1],
  ])('refuses %j', (text, message, line) => {
    let failure: unknown;
    try {
      read(text);
    } catch (error) {
      failure = error;
    }
    expect(failure).toBeInstanceOf(TableError);
    expect(failure).toMatchObject({ message: expect.stringMatching(message) as string, line });
  });

  it('reads what it would write', () => {
    const odd = ['', 'a', '"', '""', ',', '\n', '\r\n', 'a"b', ' ', '\r', '😀,"\n'];
    const records = odd.flatMap((left) => odd.map((right) => [left, right]));
    const text = records
      .map((fields) => fields.map((each) => `"${each.replaceAll('"', '""')}"`).join(','))
      .join('\r\n');
    expect(read(text)).toEqual(records);
  });
});
