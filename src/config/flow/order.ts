import { expression } from '../fields.ts';

/** `order_by` of a consumer. */
export const orderBy = expression()
  .optional()
  .describe(
    'The key by which events are kept in order: those of one key are handled one at a time, in the order of the stream, retries included. Events without the field share one key. The consumer runs on one instance at a time.',
  );
