/** The lane by which an event goes. */
import type { ConsumerConfig } from '../config/schema.ts';
import { overlaps } from '../core/subjects.ts';
import { restOf } from '../reconcile/build.ts';
import type { Explanation } from './explanation.ts';

/** The lane whose subjects it has, or that of the rest; nothing where the consumer has no lanes. */
export function laneShown(settings: ConsumerConfig, subject: string): Pick<Explanation, 'lane'> {
  const { lanes } = settings;
  if (lanes === undefined) return {};
  const own = lanes.find(({ subjects }) => subjects?.some((pattern) => overlaps(pattern, subject)) === true);
  const { name, weight } = own ?? restOf(settings);
  return { lane: { name, weight } };
}
