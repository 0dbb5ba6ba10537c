/** `If-Match` and `If-None-Match: *` (RFC 9110): a change that holds only for what somebody has seen. */
import type { FastifyRequest } from 'fastify';
import { OuzelError } from '../errors.ts';

/** What a condition is about, as it is now. */
interface Tagged {
  readonly etag: string;
  /** Undefined: it is not the fleet's. */
  readonly revision: number | undefined;
}

/**
 * The revision that a resource must still have when it is changed: 0: none, undefined: any.
 *
 * @throws OuzelError CONFLICT when the condition does not hold, USAGE when it is none
 */
export function expectedRevision({ headers }: FastifyRequest, current: Tagged | undefined): number | undefined {
  const none = headers['if-none-match'];
  const match = headers['if-match'];
  if (none !== undefined) {
    if (none.trim() !== '*') throw new OuzelError('USAGE', 'If-None-Match can only be *: it must not be there yet');
    if (current !== undefined) throw new OuzelError('CONFLICT', `it is there already, as ${current.etag}`);
  }
  if (match === undefined) return none === undefined ? undefined : 0;
  if (current === undefined) throw new OuzelError('CONFLICT', `it is not there, and If-Match asks for ${match}`);
  if (match.trim() === '*') return undefined;
  if (tagsOf(match).includes(current.etag)) return current.revision;
  throw new OuzelError('CONFLICT', `it is ${current.etag} now, and If-Match asks for ${match}: look at it again`);
}

/** Entity tags with their quotes. Weak ones (`W/"…"`) never match. @throws OuzelError USAGE */
function tagsOf(list: string): readonly string[] {
  const tags = [...list.matchAll(/(?:W\/)?"[^"]*"/g)].map(([tag]) => tag);
  if (tags.length === 0) throw new OuzelError('USAGE', 'If-Match is * or tags in double quotes: "42"');
  return tags;
}

/** Whether a request has such a condition. */
export const isConditional = ({ headers }: FastifyRequest): boolean =>
  headers['if-match'] !== undefined || headers['if-none-match'] !== undefined;
