import { z } from 'zod';
import { expression } from '../fields.ts';

/** `order_by` of a consumer. */
export const orderBy = expression()
  .optional()
  .describe(
    'The key by which events are kept in order: those of one key are handled one at a time, in the order of the stream, retries included. Events without the field share one key. The consumer runs on one instance at a time.',
  );

/** `on_dead_letter` of a consumer. */
export const onDeadLetter = z
  .enum(['continue', 'hold'])
  .default('continue')
  .describe(
    'What becomes of the events of a key behind one that became a dead letter: they go on, or wait until the letter was driven again or discarded (`hold`; with `order_by`).',
  );
