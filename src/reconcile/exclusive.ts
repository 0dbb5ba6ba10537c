/** Which consumers run on one instance at a time, and why. */
import type { ConsumerConfig } from '../config/schema.ts';

/** The features that need a key's order, or remember something of a key: two instances would each know half of it. */
const EXCLUSIVE: Readonly<Record<string, (settings: ConsumerConfig) => boolean>> = {
  order_by: ({ order_by: order }) => order !== undefined,
  group: ({ group }) => group?.by !== undefined,
  'concurrency.by': ({ concurrency }) => concurrency?.by !== undefined,
};

/** The features for which a consumer runs on one instance at a time; none: its instances share its events. */
export const exclusiveFor = (settings: ConsumerConfig): readonly string[] =>
  Object.entries(EXCLUSIVE)
    .filter(([, needs]) => needs(settings))
    .map(([feature]) => feature);

/** How a consumer's instances share its events, and in which order. It drains before that changes. */
export const modeOf = (settings: ConsumerConfig): string =>
  [...exclusiveFor(settings), settings.order_by?.source ?? ''].join(' ');
