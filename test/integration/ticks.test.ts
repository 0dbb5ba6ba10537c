/**
 * One event a tick: whoever dies while publishing it, and at what point; whoever was held up and comes late, behind the
 * duplicate window of the stream; and whoever else publishes to the same subject.
 */
import { beforeAll, expect, it } from 'vitest';
import type { Ledger } from '../../src/sources/schedules/ledger.ts';
import { publishOnce } from '../../src/sources/schedules/publish-once.ts';
import { addStream, type Client, connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { type Hand, ledgerOf, windowIsOver } from '../helpers/ticks.ts';
import { waitFor } from '../helpers/wait.ts';

let client: Client;
let ledger: Ledger;

beforeAll(async () => {
  const server = await startServer();
  client = await connectTo(server);
  await addStream(client, 'EVENTS', ['events.>'], { duplicate_window: 100_000_000 });
  await addStream(client, 'PROBES', ['probes'], { duplicate_window: 100_000_000 });
  ledger = ledgerOf(client);
  // It makes the bucket.
  await ledger.read('any');
});

const INSTANT = Date.UTC(2026, 9, 25, 1);
/** What is left out before each tick. */
const LEAVES = { left: 3, uncounted: false };
const tickOf = (name: string) => ({
  key: `${name}.0`,
  instant: INSTANT,
  timeout: 5_000,
  ttl: 60_000,
  message: { subject: `events.${name}`, id: `${name}.tick`, headers: '', body: 'tick' },
  leaves: LEAVES,
});
const tick = (name: string, through: Ledger = ledger) => publishOnce(through, tickOf(name), INSTANT - 1000);

/** Requests of a tick that nobody comes in the way of: the record, the subject, the claim, the tick, and that it is done. */
const CALLS = 5;

/** Ids on a subject, one for each message. */
async function ticksOn(subjects: readonly string[]): Promise<Map<string, number>> {
  const counts = new Map(subjects.map((subject) => [subject, 0]));
  for (const { subject, body } of await readStream(client, 'EVENTS'))
    if (body === 'tick' && counts.has(subject)) counts.set(subject, (counts.get(subject) ?? 0) + 1);
  return counts;
}

const handed = (hand: Hand): Ledger => ledgerOf(client, hand);

class Death extends Error {}

/** Claims a tick, and dies before it is published. */
async function beginAndDie(name: string): Promise<void> {
  let calls = 0;
  const dying = handed((work) => (calls++ === CALLS - 2 ? Promise.reject(new Death()) : work()));
  await expect(tick(name, dying)).rejects.toMatchObject({ cause: expect.any(Death) as unknown });
}

it('who dies at any point leaves a tick to the next one, which is there once', async () => {
  const cases = Array.from({ length: CALLS }, (_, at) => ['before', 'behind'].map((when) => ({ at, when }))).flat();
  const names = cases.map(({ at, when }) => `dies-${when}-${at}`);
  const died = await Promise.all(
    cases.map(async ({ at, when }, index) => {
      let calls = 0;
      const dying = handed(async (work) => {
        const mine = calls++ === at;
        if (mine && when === 'before') throw new Death();
        const result = await work();
        if (mine) throw new Death();
        return result;
      });
      const name = names[index] ?? '';
      return tick(name, dying).then(
        () => false,
        (error: unknown) => (error as Error).cause instanceof Death,
      );
    }),
  );
  // Each of the requests is made, and none behind them is asked for.
  expect(died).not.toContain(false);
  // Somebody else publishes there too.
  await Promise.all(names.map((name) => publish(client, { subject: `events.${name}`, body: 'other' })));
  await windowIsOver(client, 'probes');
  await Promise.all(names.map((name) => tick(name)));
  expect(await ticksOn(names.map((name) => `events.${name}`))).toEqual(
    new Map(names.map((name) => [`events.${name}`, 1])),
  );
  for (const name of names) expect((await ledger.read(`${name}.0`))?.upto).toBe(INSTANT);
});

it.each([
  { begun: false, others: true },
  { begun: false, others: false },
  { begun: true, others: true },
  { begun: true, others: false },
])(
  'who was held up at any point adds nothing when the window is over: begun before $begun, others there $others',
  async ({ begun, others }) => {
    const names = Array.from({ length: CALLS }, (_, at) => `late-${begun}-${others}-${at}`);
    if (begun) await Promise.all(names.map(beginAndDie));
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    let waiting = 0;
    const late = names.map((name, at) => {
      let calls = 0;
      const held = handed(async (work) => {
        if (calls++ === at) {
          waiting++;
          await gate;
        }
        return work();
      });
      return tick(name, held);
    });
    await waitFor(() => waiting === names.length, { what: 'all to be held up' });
    const before = await Promise.all(names.map((name) => tick(name)));
    if (others) await Promise.all(names.map((name) => publish(client, { subject: `events.${name}`, body: 'other' })));
    await windowIsOver(client, 'probes');
    open();
    const behind = await Promise.all(late);
    expect(await ticksOn(names.map((name) => `events.${name}`))).toEqual(
      new Map(names.map((name) => [`events.${name}`, 1])),
    );
    // One of the two says that it was the one.
    for (const [at, { published }] of before.entries())
      expect(Number(published) + Number(behind[at]?.published)).toBe(1);
  },
);

it('many at once, among others who publish to the subject, publish it once', async () => {
  const others = Promise.all(
    Array.from({ length: 100 }, (_, index) => publish(client, { subject: 'events.crowd', body: `other ${index}` })),
  );
  const all = await Promise.all(Array.from({ length: 10 }, () => tick('crowd')));
  await others;
  expect(all.filter(({ published }) => published)).toHaveLength(1);
  expect(all.flatMap(({ leaves }) => leaves ?? [])).toEqual([LEAVES]);
  expect(await ticksOn(['events.crowd'])).toEqual(new Map([['events.crowd', 1]]));
});

it('what was left out is counted by whoever finishes the tick', async () => {
  await beginAndDie('left-out');
  const { leaves: _leaves, ...claimed } = tickOf('left-out');
  expect((await publishOnce(ledger, claimed, INSTANT - 1000)).leaves).toEqual(LEAVES);
  expect((await publishOnce(ledger, claimed, INSTANT - 1000)).leaves).toBeUndefined();
});

it('a record that is gone, or is from before, adds nothing', async () => {
  await tick('lost');
  await windowIsOver(client, 'probes');
  await ledger.forget('lost.0');
  expect(await tick('lost')).toMatchObject({ published: false, leaves: LEAVES });
  expect(await ticksOn(['events.lost'])).toEqual(new Map([['events.lost', 1]]));
});

it('what was begun elsewhere is finished there; where no stream takes it any more, where the configuration says', async () => {
  const key = 'moved.0';
  await addStream(client, 'OLD', ['old.tick']);
  const begin = async (): Promise<void> => {
    const claim = { instant: INSTANT, stream: 'OLD', subject: 'old.tick', after: 0 };
    const { revision } = (await ledger.read(key)) ?? { revision: 0 };
    await ledger.write(key, { upto: INSTANT - 1000, claim }, revision, 60_000);
  };
  await begin();
  await tick('moved');
  expect((await readStream(client, 'OLD')).map(({ body }) => body)).toEqual(['tick']);
  await client.jsm.streams.delete('OLD');
  await begin();
  await tick('moved');
  expect(await ticksOn(['events.moved'])).toEqual(new Map([['events.moved', 1]]));
});

it('a subject that no stream takes is said, and nothing is claimed', async () => {
  const nowhere = { ...tickOf('nowhere'), message: { ...tickOf('nowhere').message, subject: 'nowhere.at.all' } };
  await expect(publishOnce(ledger, nowhere, 0)).rejects.toMatchObject({ code: 'TARGET_NO_STREAM' });
  expect(await ledger.read('nowhere.0')).toBeUndefined();
});
