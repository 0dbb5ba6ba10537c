/** A dry run: what a replay would hand over. */
import { planReplay, type ReplayAccess, type ReplayAsked, type ReplayPlan } from './asked.ts';
import { walk } from './walk.ts';

/** Types that are counted by themselves. */
const TYPES = 20;

export interface Rehearsal {
  /** Events looked at, of about so many. */
  readonly read: number;
  readonly total: number;
  readonly selected: number;
  /** Events by consumer, and the same by type, the most frequent first. */
  readonly by_consumer: Readonly<Record<string, number>>;
  readonly by_type: Readonly<Record<string, number>>;
  /** When the stream took the first and the last of them, RFC 3339. */
  readonly first?: string;
  readonly last?: string;
  /** Whether the limit left some out. */
  readonly more: boolean;
  readonly interrupted: boolean;
  readonly warnings: readonly string[];
}

/** Reads as a replay would, and does nothing. @throws OuzelError USAGE, NOT_FOUND, NATS_UNAVAILABLE */
export async function rehearse(access: ReplayAccess, asked: ReplayAsked, signal: AbortSignal): Promise<Rehearsal> {
  const plan = planReplay(access, asked);
  try {
    return await read(plan, asked, signal);
  } finally {
    await plan.source.close();
  }
}

async function read(plan: ReplayPlan, asked: ReplayAsked, signal: AbortSignal): Promise<Rehearsal> {
  const extent = await plan.source.extent(plan.range);
  const consumers = new Map(asked.to.map((name) => [name, 0]));
  const types = new Map<string, number>();
  let read = 0;
  let selected = 0;
  let first: number | undefined;
  let last: number | undefined;
  let more = false;
  for await (const { event, selected: one } of walk(plan, extent, undefined, signal)) {
    if (signal.aborted) break;
    if (one.consumers.length > 0) {
      if (selected >= plan.limit) {
        more = true;
        break;
      }
      selected++;
      for (const name of one.consumers) consumers.set(name, (consumers.get(name) ?? 0) + 1);
      const type = one.type() ?? '(undecodable)';
      const counted = types.has(type) || types.size < TYPES ? type : '(others)';
      types.set(counted, (types.get(counted) ?? 0) + 1);
      first ??= event.position.milliseconds;
      last = event.position.milliseconds;
    }
    read++;
  }
  return {
    read,
    total: extent.total,
    selected,
    by_consumer: Object.fromEntries(consumers),
    by_type: Object.fromEntries([...types].toSorted(([, left], [, right]) => right - left)),
    ...(first === undefined ? {} : { first: new Date(first).toISOString() }),
    ...(last === undefined ? {} : { last: new Date(last).toISOString() }),
    more,
    interrupted: signal.aborted,
    warnings: plan.warnings,
  };
}
