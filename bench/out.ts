/** The stream that events are delivered to. */
import type { JetStreamManager } from '@nats-io/jetstream';

export const OUT_STREAM = 'OUT';
export const OUT_SUBJECT = 'out.bench';

/** A figure for work that was not done would be worthless. */
export async function checkDelivered(jsm: JetStreamManager, expected: number): Promise<void> {
  const { state } = await jsm.streams.info(OUT_STREAM);
  if (state.messages !== expected) throw new Error(`${state.messages} events were published, not ${expected}`);
}
