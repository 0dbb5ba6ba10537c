/** How arguments of commands are read. */
import { InvalidArgumentError } from 'commander';

/** A whole number above 0. */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('a whole number above 0 is expected');
}
