/** Debounce against its model, with the clock and every answer in the hands of a seed. */
import { describe, expect, it } from 'vitest';
import { World, type WorldOptions } from './held-world.ts';

const SEEDS = 40;
const QUIET = 5_000;

async function worldOf(options: Partial<WorldOptions> & { readonly seed: number }): Promise<World> {
  const world = new World({
    instances: 2,
    keys: 3,
    events: 40,
    quiet: QUIET,
    atMost: undefined,
    crash: 0,
    lostAnswer: 0,
    ...options,
  });
  await world.run();
  return world;
}

/** What became of each event, by its number: how it ended, in order. */
function endsOf({ ends }: World): Map<number, string[]> {
  const found = new Map<number, string[]>();
  for (const { event, how } of ends) found.set(event, [...(found.get(event) ?? []), how]);
  return found;
}

/** What holds in every world, however much goes wrong in it. */
function expectSound(world: World, { keys, events }: { keys: number; events: number }): void {
  expect(world.waiting, 'places in which something waits').toEqual([]);
  expect(world.unanswered, 'events that nobody answered for').toEqual([]);
  const ends = endsOf(world);
  for (let event = 1; event <= events; event++) {
    const how = ends.get(event) ?? [];
    expect(how.length, `event ${event} ends`).toBeGreaterThan(0);
    expect(new Set(how).size, `event ${event} ends in one way: ${how.join(', ')}`).toBe(1);
    if (event > events - keys) expect(how, `event ${event} is the newest of its key`).toContain('went on');
  }
  for (let key = 0; key < keys; key++) {
    const wentOn = world.ends.filter(({ event, how }) => event % keys === key && how === 'went on');
    const order = wentOn.map(({ event }) => event);
    expect(order, 'no older event goes on after a newer one').toEqual(order.toSorted((a, b) => a - b));
  }
}

describe('debounce', () => {
  it('lets the newest of a key go on when it was quiet, and ends each event once', async () => {
    let bursts = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const world = await worldOf({ seed });
      expectSound(world, { keys: 3, events: 40 });
      for (const [event, how] of endsOf(world)) expect(how, `seed ${seed}, event ${event}`).toHaveLength(1);
      for (const { first, at } of world.released) expect(at - first).toBeGreaterThanOrEqual(QUIET);
      bursts += world.released.length;
    }
    // The seeds make bursts of several events, and several bursts.
    expect(bursts).toBeGreaterThan(SEEDS * 4);
    expect(bursts).toBeLessThan(SEEDS * 35);
  });

  it('waits for at_most at the longest', async () => {
    const atMost = 2 * QUIET;
    let bounded = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const world = await worldOf({ seed, keys: 1, atMost });
      expectSound(world, { keys: 1, events: 40 });
      for (const { first, at } of world.released) {
        // What is under way when it is due takes some time of its own.
        expect(at - first, `seed ${seed}`).toBeLessThan(atMost + 2_000);
        if (at - first >= atMost) bounded++;
      }
    }
    expect(bounded).toBeGreaterThan(SEEDS);
  });

  it('loses nothing when answers are lost', async () => {
    for (let seed = 1; seed <= SEEDS; seed++)
      expectSound(await worldOf({ seed, lostAnswer: 0.1 }), { keys: 3, events: 40 });
  });

  it('loses nothing when processes die at any point', async () => {
    for (let seed = 1; seed <= 3 * SEEDS; seed++)
      expectSound(await worldOf({ seed, instances: 3, crash: 0.02, lostAnswer: 0.02 }), { keys: 3, events: 40 });
  });
});
