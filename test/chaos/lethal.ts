/** An event whose handling kills the process: it must become a dead letter after its attempts, and not kill for ever. */
import { publish } from '../helpers/publish.ts';
import { waitFor } from '../helpers/wait.ts';
import { ATTEMPTS, bodyOf, type ChaosEvent, DEAD_LETTERS } from './scenario.ts';
import type { World } from './world.ts';

/** Milliseconds until the event kills again, or is a dead letter: `ack_wait`, and what else is broken just now. */
const PATIENCE = 60_000;
/** Kills above the attempts: the first is noted nowhere, the second makes it suspect; and a daemon that falls before that. */
const ALLOWANCE = 4;

/** Publishes one, and starts each daemon again that it kills, until it is a dead letter. How often it killed. */
export async function publishLethal(world: World): Promise<number> {
  const { client, ledger, counts, problems, instances } = world;
  const event: ChaosEvent = { id: `e-lethal-${counts.kills}`, kind: 'lethal', n: 0 };
  await world.insist('a publish', async () => {
    ledger.publish(event, await publish(client, { subject: 'in.lethal', body: bodyOf(event), id: event.id }));
  });
  const isLetter = async (): Promise<boolean> => {
    const last = await client.jsm.streams.getMessage(DEAD_LETTERS, { last_by_subj: 'ouzel.dlq.lethal' });
    return last?.header.get('Ouzel-Msg-Id') === event.id;
  };
  for (let kills = 0; kills <= ATTEMPTS + ALLOWANCE; kills++) {
    const what = `${event.id} to kill a daemon or to be a dead letter`;
    // Where it takes longer, because it waits behind other suspects: it is met again before the run is at rest.
    const found = await waitFor(
      async () => {
        for (const instance of instances) if (await instance.fell()) return 'killed';
        return (await isLetter()) && 'letter';
      },
      { timeout: PATIENCE, every: 100, what },
    ).catch(() => 'late' as const);
    if (found === 'late') return kills;
    if (found === 'letter') return kills;
    counts.kills++;
    await world.startMissing();
  }
  problems.push(`${event.id} still kills after ${ATTEMPTS} attempts and ${ALLOWANCE} more`);
  // It must not go on killing whoever is started next.
  await world.insist('the lethal event to be gone', async () =>
    client.jsm.streams.purge('IN', { filter: 'in.lethal' }),
  );
  return ATTEMPTS + ALLOWANCE + 1;
}
