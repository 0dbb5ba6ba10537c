/** What a timer or a re-drive hands over beside the event. */
import type { Handover } from '../../../src/core/handover.ts';

/** Of the event 42 in its first passage, with nothing known of it. */
export const handedOver = (more: Partial<Handover> = {}): Handover => ({
  stream: 'EVENTS',
  subject: 'events.orders.created',
  position: { sequence: 42, milliseconds: 0, nanoseconds: 0 },
  headers: undefined,
  run: '',
  record: undefined,
  routes: undefined,
  letter: undefined,
  bodyName: undefined,
  ...more,
});

/** The same, driven again from the dead letter 7. */
export const redriven = (more: Partial<Handover> = {}): Handover =>
  handedOver({ run: 'redrive-7', letter: 7, ...more });
