/** The stage that says where an event stands in line for admission. */
import { formatDuration } from '../config/fields.ts';
import type { ConsumerConfig } from '../config/schema.ts';
import type { Step } from '../core/plan.ts';
import type { Run } from '../core/run.ts';
import type { Evaluate, Expression } from '../expression/index.ts';
import { headStart, priorityStep } from '../flow/priority.ts';
import { condition } from '../pipeline/faults.ts';

/** Undefined where nothing has priority. @param missing Counts a field that was not there. */
export function priorityStage(
  { priority }: ConsumerConfig,
  bind: (expression: Expression) => Evaluate,
  missing: (path: string) => void,
): { readonly step: Step; readonly says: (run: Run) => string } | undefined {
  if (priority === undefined) return undefined;
  const entries = priority.map(({ when, ahead }) => ({ when: condition(bind(when), when, missing), ahead }));
  const says = (run: Run): string => {
    const ahead = headStart(entries, run);
    return ahead === 0 ? 'no head start' : `stands in line as if it had come ${formatDuration(ahead)} earlier`;
  };
  return { step: priorityStep(entries), says };
}
