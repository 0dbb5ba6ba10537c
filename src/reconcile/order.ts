/** The stage that keeps the events of a key in order. */
import { Fault, toText } from '../expression/index.ts';
import { Lanes, type OrderKey } from '../flow/order.ts';
import { faultError } from '../pipeline/faults.ts';
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
  const evaluate = bind(source);
  const keyOf: OrderKey = (run) => {
    const value = evaluate(run);
    if (!(value instanceof Fault)) return typeof value === 'string' ? value : toText(value);
    if (value.kind !== 'missing_field') throw faultError(value, source);
    missing(value.path ?? source.source);
    return undefined;
  };
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
