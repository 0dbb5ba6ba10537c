/** Lines in files: on the disk before they are confirmed, each whole, in files that rotate and are mended. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Event } from '../../../src/core/event.ts';
import { fileError, ofThisEvent } from '../../../src/deliver/files/errors.ts';
import { FileStore } from '../../../src/deliver/files/store.ts';
import { LineWriter } from '../../../src/deliver/files/writer.ts';
import type { Rotation } from '../../../src/deliver/ports.ts';
import { deliverStep } from '../../../src/deliver/route.ts';
import { file } from '../../../src/deliver/targets/file.ts';
import type { OuzelError } from '../../../src/errors.ts';
import { bytes, eventOf, harness, jsonEvent, outcome, route } from '../core/helpers.ts';
import { targetContext } from './helpers.ts';

const NEVER: Rotation = { size: undefined, every: undefined, keep: undefined };

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'ouzel-files-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

function storeOf(most?: number) {
  const warnings: string[] = [];
  const store = new FileStore({
    onWarning: (message) => warnings.push(message),
    ...(most === undefined ? {} : { most }),
  });
  onTestFinished(() => store.close());
  const append = (path: string, line: string, rotation = NEVER): Promise<void> =>
    new Promise((resolve, reject) => {
      store.append(path, line, rotation, { written: resolve, failed: reject });
    });
  return { store, warnings, append };
}

const linesOf = async (path: string): Promise<string[]> => (await readFile(path, 'utf8')).trimEnd().split('\n');

describe('lines', () => {
  it('stand in the file, in order, when they are confirmed; the folder is made', async () => {
    const path = join(await folder(), 'a', 'b', 'events.ndjson');
    const { append } = storeOf();
    await append(path, '{"n":0}');
    expect(await readFile(path, 'utf8')).toBe('{"n":0}\n');
    await Promise.all(Array.from({ length: 500 }, (_, n) => append(path, `{"n":${n + 1}}`)));
    expect((await linesOf(path)).map((line) => (JSON.parse(line) as { n: number }).n)).toEqual(
      Array.from({ length: 501 }, (_, n) => n),
    );
  });

  it('that arrive while others are written are the next batch: one sync for all of them', async () => {
    const path = join(await folder(), 'events');
    let batches = 0;
    const confirmed: number[] = [];
    const writer = new LineWriter(path, {
      acquire: () => Promise.resolve(),
      release: () => undefined,
      // Asked once a batch.
      contended: () => (batches++, false),
      onIdle: () => undefined,
      onWarning: () => undefined,
    });
    const all: Promise<void>[] = [];
    const add = (n: number): void => {
      all.push(
        new Promise((resolve, reject) => {
          const written = (): void => {
            confirmed.push(n);
            // What a confirmation brings arrives while the batch is reported.
            if (n === 0) for (let more = 100; more < 200; more++) add(more);
            resolve();
          };
          writer.append(String(n), NEVER, { written, failed: reject });
        }),
      );
    };
    for (let n = 0; n < 100; n++) add(n);
    while (confirmed.length < 200) await Promise.all(all);
    await writer.close();
    expect(batches).toBe(2);
    expect(confirmed).toEqual(Array.from({ length: 200 }, (_, n) => n));
  });

  it('go on in a new file where somebody moved the old one away or deleted it', async () => {
    const path = join(await folder(), 'events');
    const { append } = storeOf();
    await append(path, '1');
    await rename(path, `${path}.moved`);
    await append(path, '2');
    await rm(path);
    await append(path, '3');
    expect([await linesOf(`${path}.moved`), await linesOf(path)]).toEqual([['1'], ['3']]);
  });

  it('of many files need only a few of them open', async () => {
    const base = await folder();
    const { append, store } = storeOf(3);
    const paths = Array.from({ length: 40 }, (_, n) => join(base, `${n}.ndjson`));
    let most = 0;
    await Promise.all(
      Array.from({ length: 5 }, () => paths)
        .flat()
        .map((path, n) => append(path, String(n)).then(() => (most = Math.max(most, store.open)))),
    );
    expect(most).toBeLessThanOrEqual(3);
    for (const path of paths) expect(await linesOf(path)).toHaveLength(5);
  });
});

describe('a file that a crash left', () => {
  it.each<[what: string, before: string, after: string, warned: boolean]>([
    ['whole', '{"a":1}\n', '{"a":1}\n{"n":1}\n', false],
    ['empty', '', '{"n":1}\n', false],
    ['with a part of a line', '{"a":1}\n{"b":', '{"a":1}\n{"n":1}\n', true],
    ['with nothing but a part of a line', '{"b":', '{"n":1}\n', true],
    ['with a line that lacks only its end', '{"a":1}\n{"b":2}', '{"a":1}\n{"b":2}\n{"n":1}\n', false],
    ['with a long part of a line', `{"a":1}\n{"b":"${'x'.repeat(200_000)}`, '{"a":1}\n{"n":1}\n', true],
  ])('%s', async (_what, before, after, warned) => {
    const path = join(await folder(), 'events.ndjson');
    await writeFile(path, before);
    const { append, warnings } = storeOf();
    await append(path, '{"n":1}');
    expect(await readFile(path, 'utf8')).toBe(after);
    expect(warnings.length > 0).toBe(warned);
  });
});

describe('rotation', () => {
  const aside = async (base: string): Promise<string[]> =>
    (await readdir(base)).filter((name) => /^events\.\d{8}T\d{9}Z(?:-\d+)?$/.test(name)).toSorted();

  it('by size loses no line and lets no file become larger', async () => {
    const base = await folder();
    const path = join(base, 'events');
    const { append } = storeOf();
    const rotation = { ...NEVER, size: 100 };
    await Promise.all(Array.from({ length: 50 }, (_, n) => append(path, `{"number":${n}}`, rotation)));
    const files = [...(await aside(base)), 'events'];
    expect(files.length).toBeGreaterThan(5);
    const texts = await Promise.all(files.map((name) => readFile(join(base, name), 'utf8')));
    for (const text of texts) expect(text.length).toBeLessThanOrEqual(100);
    expect(texts.join('').trimEnd().split('\n')).toHaveLength(50);
  });

  it('lets a line that is larger than a file stand in one of its own', async () => {
    const base = await folder();
    const { append } = storeOf();
    for (const line of ['1', 'x'.repeat(50), '2']) await append(join(base, 'events'), line, { ...NEVER, size: 10 });
    expect(await aside(base)).toHaveLength(2);
    expect(await linesOf(join(base, 'events'))).toEqual(['2']);
  });

  it('keeps as many files as it is told to, and touches no others', async () => {
    const base = await folder();
    const others = ['events.bak', 'events.1', 'eventsx.20260131T080000123Z', 'other.20260131T080000123Z'];
    for (const name of others) await writeFile(join(base, name), 'x');
    await writeFile(join(base, 'events.20200131T080000123Z'), 'old');
    const { append } = storeOf();
    for (let n = 0; n < 6; n++) await append(join(base, 'events'), String(n), { ...NEVER, size: 2, keep: 2 });
    const kept = await aside(base);
    expect(kept).toHaveLength(2);
    expect(await Promise.all(kept.map((name) => readFile(join(base, name), 'utf8')))).toEqual(['3\n', '4\n']);
    expect(await readdir(base)).toEqual(expect.arrayContaining(others));
  });

  it('by time begins a new file when the stretch of time of its last line is over', async () => {
    const base = await folder();
    const path = join(base, 'events');
    await writeFile(path, 'yesterday\n');
    const yesterday = Date.now() / 1000 - 86_400;
    await utimes(path, yesterday, yesterday);
    const { append } = storeOf();
    const rotation = { ...NEVER, every: 86_400_000 };
    await append(path, 'today', rotation);
    await append(path, 'today too', rotation);
    expect(await aside(base)).toHaveLength(1);
    expect(await linesOf(path)).toEqual(['today', 'today too']);
  });
});

describe('a file that cannot be written', () => {
  const refusal = async (path: string): Promise<OuzelError> => {
    const { append } = storeOf();
    return append(path, 'x').then(
      () => {
        throw new Error('it was written');
      },
      (error: unknown) => error as OuzelError,
    );
  };

  it('is unavailable, and written when it can be again', async () => {
    const base = await folder();
    const path = join(base, 'events');
    await mkdir(path);
    const { append } = storeOf();
    await expect(append(path, 'x')).rejects.toMatchObject({ code: 'TARGET_UNAVAILABLE' });
    await rm(path, { recursive: true });
    await append(path, 'y');
    expect(await linesOf(path)).toEqual(['y']);
  });

  it.skipIf(process.getuid?.() === 0)('says why', async () => {
    const base = await folder();
    await chmod(base, 0o500);
    expect((await refusal(join(base, 'events'))).message).toMatch(/permission denied \(EACCES\)/);
  });

  it('is no device: what is written there is not kept', async () => {
    expect(await refusal('/dev/null')).toMatchObject({ code: 'TARGET_UNAVAILABLE' });
  });

  it('a full disk is the disk’s fault, a name that is too long that of the event', () => {
    const errorOf = (code: string) => fileError(Object.assign(new Error(code), { code }), '/data/x');
    for (const code of ['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EIO', 'EMFILE'])
      expect(ofThisEvent(errorOf(code)).code, code).toBe('TARGET_UNAVAILABLE');
    for (const code of ['ENAMETOOLONG', 'EISDIR', 'ENOTDIR', 'ELOOP'])
      expect(ofThisEvent(errorOf(code)).code, code).toBe('TARGET_REJECTED');
    expect(errorOf('EISDIR').code).toBe('TARGET_UNAVAILABLE');
    expect(errorOf('ENOSPC').message).toBe('/data/x cannot be written: no space is left on the device (ENOSPC)');
  });

  it('of /dev/full fails every line and keeps none', async () => {
    expect(await refusal('/dev/full')).toMatchObject({ code: 'TARGET_UNAVAILABLE' });
  });
});

describe('the target', () => {
  /** What it would write of an event, or the reason of its dead letter. */
  function writing(options: Record<string, unknown>, event: Event) {
    const appended: [path: string, line: string, rotation: Rotation][] = [];
    const target = file.prepare(
      file.options.parse(options),
      targetContext({
        files: {
          append: (path, line, rotation, listener) => {
            appended.push([path, line, rotation]);
            listener.written();
          },
        },
      }),
    );
    const deliver = target.deliver.bind(target);
    const made = harness({ steps: [deliverStep([route('r', deliver)], outcome('filtered'))] });
    made.receive(event);
    const letter = made.letters.letters[0];
    return {
      appended,
      letter: letter && `${letter.reason} ${letter.failure.error.code}: ${letter.failure.error.message}`,
    };
  }

  it('writes a structured CloudEvent in one line, to a path that starts at the folder of the configuration', () => {
    const { appended } = writing({ path: 'data/x.ndjson' }, eventOf('{\n"a": 1 }'));
    expect(appended).toHaveLength(1);
    const [path, line, rotation] = appended[0] ?? [];
    expect(path).toBe('/etc/ouzel/data/x.ndjson');
    expect(line).not.toContain('\n');
    expect(JSON.parse(line ?? '')).toMatchObject({ specversion: '1.0', id: 'EVENTS:42', data: { a: 1 } });
    expect(rotation).toEqual(NEVER);
  });

  it.each<[event: Event, line: string]>([
    [eventOf('{\n"a": 1,\r\n"n": 9223372036854775807 }'), '{"a":1,"n":9223372036854775807}'],
    [eventOf('just\ntext', { headers: { 'Content-Type': 'text/plain' } }), '"just\\ntext"'],
    [eventOf(bytes('\u0001'), { headers: { 'Content-Type': 'application/octet-stream' } }), '"AQ=="'],
  ])('writes the data alone', (event, line) => {
    expect(writing({ path: '/x', format: 'data' }, event).appended).toEqual([['/x', line, NEVER]]);
  });

  it('hands its rotation on', () => {
    const { appended } = writing({ path: '/x', rotate: { size: '1KiB', every: '1d', keep: 7 } }, jsonEvent({}));
    expect(appended[0]?.[2]).toEqual({ size: 1024, every: 86_400_000, keep: 7 });
  });

  const PATH = '/data/{{ event.data.a }}{{ event.data.b }}/x.ndjson';

  it.each<[a: string, b: string, path: string]>([
    ['a', 'b', '/data/ab/x.ndjson'],
    ['grün', 'ß.c', '/data/grünß.c/x.ndjson'],
    ['a..', 'b', '/data/a..b/x.ndjson'],
  ])('%j and %j make %s', (a, b, path) => {
    expect(writing({ path: PATH }, jsonEvent({ a, b })).appended[0]?.[0]).toBe(path);
  });

  it.each(['', '.', '..', '../x', '/etc', 'a/b', 'a\\b', '.hidden', 'a\u0000b', 'a\nb', 'x'.repeat(201)])(
    'a path cannot be led astray by %j',
    (a) => {
      const { appended, letter } = writing({ path: PATH }, jsonEvent({ a, b: 'b' }));
      expect(appended).toEqual([]);
      expect(letter).toMatch(/^invalid_path EVENT_INVALID_PATH: .* is not allowed here/);
    },
  );

  it('a field that is not there fails the event', () => {
    expect(writing({ path: PATH }, jsonEvent({})).letter).toMatch(/^missing_field EVENT_MISSING_FIELD/);
  });

  it('names a file', () => {
    expect(file.options.safeParse({ path: 'data/' }).success).toBe(false);
    expect(file.options.safeParse({ path: '' }).success).toBe(false);
  });
});
