/** The stage that keeps the events of a key in order, and lets none begin while another instance may have them. */
import { keyBy } from '../flow/by.ts';
import { Lanes, type OrderKey } from '../flow/order.ts';
import { exclusiveFor } from './exclusive.ts';
import type { FlowContext, FlowStage } from './flow.ts';

/**
 * The stage of a consumer that runs on one instance at a time; undefined for others.
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
  if (source === undefined) return gateStage(exclusiveFor(settings), lanes);
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

/** Without an order: what begins on this instance begins on no other. */
function gateStage(features: readonly string[], lanes: Lanes): FlowStage | undefined {
  if (features.length === 0) return undefined;
  return {
    kind: 'gate',
    options: undefined,
    step: lanes.gate(),
    says: () => `on one instance alone, for ${features.join(' and ')}`,
    dry: true,
  };
}
