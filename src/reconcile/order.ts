/** The stage that keeps the events of a key in order. */
import { keyBy } from '../flow/by.ts';
import { Lanes, type OrderKey } from '../flow/order.ts';
import type { FlowContext, FlowStage } from './flow.ts';

/**
 * The stage of a consumer with `order_by`; undefined for others.
 *
 * @param lanes Who keeps the order, over all changes of the configuration; left out where nothing runs.
 * @param missing Counts a field that was not there.
 */
export function orderStage(
  { settings, bind }: FlowContext,
  lanes: Lanes = new Lanes(),
  missing: (path: string) => void = () => undefined,
): FlowStage | undefined {
  const source = settings.order_by;
  if (source === undefined) return undefined;
  const keyOf: OrderKey = keyBy({ source, evaluate: bind(source) }, missing);
  return {
    kind: 'order',
    options: source.source,
    step: lanes.step(keyOf),
    says: (run) => {
      const key = keyOf(run);
      return key === undefined
        ? `by ${source.source}, which it does not have: in one line with all that have none`
        : `behind the events before it with the key ${JSON.stringify(key)}`;
    },
    dry: true,
  };
}
