/** Texts for people, as messaging services take them: clean, and no longer than they may be. */
import type { Note } from './service.ts';

/** Control characters but for tab and line feed, and marks that turn the direction of a text. */
// oxlint-disable-next-line no-control-regex -- control characters are what must not get into a message
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

const ELLIPSIS = '…';

/** Several lines of text, without what only confuses. */
export const cleanText = (text: string): string =>
  text.replaceAll('\r\n', '\n').replaceAll(UNSAFE, ' ').trim().toWellFormed();

/** The same in one line. */
export const cleanLine = (text: string): string => cleanText(text).replaceAll(/\s+/g, ' ');

/**
 * The text, or its beginning with `…`.
 *
 * @param longest UTF-16 code units.
 * @param torn What must not be left at the end: the half of an escape.
 */
export function cut(text: string, longest: number, torn?: RegExp): string {
  if (text.length <= longest) return text;
  let kept = text.slice(0, Math.max(0, longest - ELLIPSIS.length));
  if (!kept.isWellFormed()) kept = kept.slice(0, -1);
  return (torn === undefined ? kept : kept.replace(torn, '')) + ELLIPSIS;
}

/** As {@link cut}, in bytes of UTF-8. */
export function cutBytes(text: string, longest: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= longest) return text;
  const kept = bytes.subarray(0, Math.max(0, longest - Buffer.byteLength(ELLIPSIS))).toString();
  return kept.replace(/\ufffd+$/, '') + ELLIPSIS;
}

/** The text and tail of a note, one below the other: the text is cut, the tail is not. */
export function bodyOf({ text, tail }: Note, longest: number, cutTo = cut, torn?: RegExp): string {
  if (tail === undefined) return cutTo(text, longest, torn);
  return `${cutTo(text, longest - Buffer.byteLength(tail) - 1, torn)}\n${tail}`;
}

/** The title of a note, or the first line of its text. */
export const headlineOf = ({ title, text }: Note): string => title ?? text.split('\n', 1)[0] ?? '';
