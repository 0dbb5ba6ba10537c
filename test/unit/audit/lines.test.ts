/** Lines that are written as bytes: JSON, wherever a page ends. */
import { expect, it } from 'vitest';
import { type Line, LineWriter, piecesOf } from '../../../src/audit/lines.ts';

const NUMBERS = [0, 7, 10, 999_999, 1_000_000, 1_000_007, 4_294_967_296, 1_795_580_000_123, Number.MAX_SAFE_INTEGER];

it('writes whole numbers as JSON has them, and digits with zeros before them', () => {
  const writer = new LineWriter();
  const line = (write: (to: LineWriter) => void): string => {
    write(writer.begin());
    return Buffer.concat(piecesOf([writer.end()])).toString();
  };
  for (const number of NUMBERS) expect(line((to) => to.integer(number))).toBe(`${number}\n`);
  expect(line((to) => to.digits(45, 6))).toBe('000045\n');
});

it('keeps lines whole over the ends of pages, and gives those of a page in one piece', () => {
  const writer = new LineWriter();
  const texts = Array.from({ length: 3_000 }, (_, n) => (n % 100 === 0 ? 'ä'.repeat(40_000) : `${n}`.repeat(n % 50)));
  const lines: Line[] = texts.map((text) => writer.begin().text(text).end());
  // One that was never ended leaves nothing behind.
  writer.begin().raw('{"half":');
  lines.push(writer.begin().text('last').end());
  const pieces = piecesOf(lines);
  const read = Buffer.concat(pieces).toString().trimEnd().split('\n');
  expect(read.map((each) => JSON.parse(each) as string)).toEqual([...texts, 'last']);
  expect(pieces.length).toBeLessThan(lines.length / 10);
  // Any choice of them, as a batch that is halved makes it.
  const some = lines.filter((_, n) => n % 3 === 0);
  expect(Buffer.concat(piecesOf(some)).toString().trimEnd().split('\n')).toHaveLength(some.length);
});
