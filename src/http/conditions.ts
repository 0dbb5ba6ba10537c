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
 * @throws OuzelError CONFLICT when the condition does not hold, USAGE for an `If-None-Match` of tags
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
  // Weak ones (`W/"…"`) never match.
  if (match.split(',').some((tag) => tag.trim() === current.etag)) return current.revision;
  throw new OuzelError('CONFLICT', `it is ${current.etag} now, and If-Match asks for ${match}: look at it again`);
}

/** Whether a request has such a condition. */
export const isConditional = ({ headers }: FastifyRequest): boolean =>
  headers['if-match'] !== undefined || headers['if-none-match'] !== undefined;
