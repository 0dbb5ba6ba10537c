/** Begins a replay, goes on with one, or ends it: what is decided on its record. */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { OuzelError } from '../errors.ts';
import { planReplay, type ReplayAccess, type ReplayAsked, type ReplayPlan, replayName } from './asked.ts';
import { type Kept, type ReplayRecord, ReplayStore } from './record.ts';
import { checkIdentity, patiently } from './walk.ts';

/** A replay that is ours to carry out. */
export interface Claim extends Kept {
  readonly plan: ReplayPlan;
  readonly store: ReplayStore;
  /** Whether somebody was at it before. */
  readonly continued: boolean;
}

/** @throws OuzelError USAGE */
function checkName(name: string): void {
  const { error } = replayName().safeParse(name);
  if (error !== undefined) throw new OuzelError('USAGE', `"${name}": ${error.issues[0]?.message}`);
}

/** A name that nobody thought of: when it began, in UTC, and something that no other has. */
export const newName = (): string =>
  `${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}-${randomUUID().slice(0, 4)}`;

/**
 * Begins a replay under this name. The same again, which was stopped or failed, is gone on with.
 *
 * @param by Who wants it.
 * @throws OuzelError USAGE, NOT_FOUND, CONFLICT, NATS_UNAVAILABLE
 */
export async function beginReplay(access: ReplayAccess, name: string, asked: ReplayAsked, by: string): Promise<Claim> {
  checkName(name);
  const store = new ReplayStore(access);
  const kept = await store.get(name);
  if (kept !== undefined) {
    const { record } = kept;
    const { rate: _old, ...before } = record.asked;
    const { rate: _new, ...now } = asked;
    if (!isDeepStrictEqual(before, now))
      throw new OuzelError('CONFLICT', `there is a replay "${name}" already, of something else: choose another name`);
    if (record.state === 'running')
      throw new OuzelError(
        'CONFLICT',
        `replay "${name}" is running. If it was killed, go on with it: --resume ${name}`,
      );
    return goOn(access, store, { ...kept, record: { ...record, asked } }, by);
  }
  const plan = planReplay(access, asked);
  return closingOnError(plan, async () => claim(store, await newRecord(plan, name, asked, by), 0, plan, false));
}

async function newRecord(plan: ReplayPlan, name: string, asked: ReplayAsked, by: string): Promise<ReplayRecord> {
  const { since, until } = plan.range;
  const extent = await patiently(new AbortController().signal, () => plan.source.extent(plan.range));
  const at = new Date().toISOString();
  return {
    version: 1,
    name,
    state: 'running',
    asked,
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    extent,
    read: 0,
    selected: 0,
    handed: Object.fromEntries(asked.to.map((consumer) => [consumer, 0])),
    failed: 0,
    failures: [],
    warnings: [...plan.warnings],
    runner: randomUUID(),
    by,
    started: at,
    updated: at,
  };
}

/** Nobody else closes the source of a replay that does not come about. */
async function closingOnError<T>({ source }: ReplayPlan, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await source.close().catch(() => undefined);
    throw error;
  }
}

/**
 * Goes on with a replay where it was left; whoever is still at it ends.
 *
 * @param rate In place of the one that it had.
 * @throws OuzelError USAGE, NOT_FOUND, CONFLICT, NATS_UNAVAILABLE
 */
export async function resumeReplay(access: ReplayAccess, name: string, by: string, rate?: string): Promise<Claim> {
  const store = new ReplayStore(access);
  const kept = await store.get(name);
  if (kept === undefined) throw new OuzelError('NOT_FOUND', `there is no replay "${name}"`);
  const { record } = kept;
  const asked = rate === undefined ? record.asked : { ...record.asked, rate };
  return goOn(access, store, { ...kept, record: { ...record, asked } }, by);
}

async function goOn(access: ReplayAccess, store: ReplayStore, { record, revision }: Kept, by: string): Promise<Claim> {
  const { name, state, asked, since, until, extent } = record;
  if (state === 'done')
    throw new OuzelError('CONFLICT', `replay "${name}" is done: to replay the same again, choose another name`);
  const plan = planReplay(access, asked, { since, until });
  return closingOnError(plan, async () => {
    checkIdentity(name, extent, await plan.source.extent(plan.range));
    return claim(store, takenOver(record, plan, by), revision, plan, true);
  });
}

function takenOver(record: ReplayRecord, plan: ReplayPlan, by: string): ReplayRecord {
  const { reason: _reason, ...rest } = record;
  return {
    ...rest,
    state: 'running',
    warnings: [...plan.warnings],
    runner: randomUUID(),
    by,
    updated: new Date().toISOString(),
  };
}

async function claim(
  store: ReplayStore,
  record: ReplayRecord,
  expected: number,
  plan: ReplayPlan,
  continued: boolean,
): Promise<Claim> {
  if (!continued) await store.ensure();
  const revision = await store.put(record, expected);
  if (revision !== undefined) return { record, revision, plan, store, continued };
  throw new OuzelError('CONFLICT', `somebody else began or changed replay "${record.name}" in the same moment`);
}

/**
 * Ends a replay, wherever it runs: whoever is at it hears of it within a second or two.
 *
 * @throws OuzelError NOT_FOUND, CONFLICT, NATS_UNAVAILABLE
 */
export async function stopReplay(access: ReplayAccess, name: string, by: string): Promise<ReplayRecord> {
  const store = new ReplayStore(access);
  for (;;) {
    const kept = await store.get(name);
    if (kept === undefined) throw new OuzelError('NOT_FOUND', `there is no replay "${name}"`);
    const { record, revision } = kept;
    if (record.state !== 'running')
      throw new OuzelError('CONFLICT', `replay "${name}" does not run: it is ${record.state}`);
    const next: ReplayRecord = {
      ...record,
      state: 'stopped',
      reason: `stopped by ${by}`,
      updated: new Date().toISOString(),
    };
    // Whoever is at it notes how far it is at the same time, and often.
    if ((await store.put(next, revision)) !== undefined) return next;
  }
}
