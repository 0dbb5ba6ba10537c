import { Writable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Cell } from '../../../src/telemetry/cells.ts';
import { createLogger, toLogfmt } from '../../../src/telemetry/log.ts';
import { LogObserver } from '../../../src/telemetry/observe.ts';
import { error, Gate, harness, outcome, route } from '../core/helpers.ts';

/** Reads logfmt as its readers do: key=value, a value with spaces in JSON quotes. */
function parseLogfmt(line: string): Record<string, string> {
  expect(line.endsWith('\n')).toBe(true);
  const rest = line.slice(0, -1);
  expect(rest).not.toContain('\n');
  const fields: Record<string, string> = {};
  const pair = /(?:^| )([^\s="]+)=("(?:[^"\\]|\\.)*"|[^\s"=]*)/gy;
  let match: RegExpExecArray | null;
  let end = 0;
  while ((match = pair.exec(rest)) !== null) {
    const [, key = '', value = ''] = match;
    fields[key] = value.startsWith('"') ? (JSON.parse(value) as string) : value;
    end = pair.lastIndex;
  }
  expect(rest.slice(end)).toBe('');
  return fields;
}

describe('logfmt', () => {
  it.each<[value: unknown, shown: string]>([
    ['plain', 'plain'],
    ['two words', 'two words'],
    ['', ''],
    ['a=b', 'a=b'],
    ['"quoted"', '"quoted"'],
    ['back\\slash', 'back\\slash'],
    ['line\nbreak level=error', 'line\nbreak level=error'],
    ['\u001b[31mred', '\u001b[31mred'],
    ['\u0000', '\u0000'],
    ['ünï', 'ünï'],
    [5, '5'],
    [true, 'true'],
    [null, 'null'],
    [{ a: 'b c' }, '{"a":"b c"}'],
    [['x'], '["x"]'],
  ])('%j can be read back', (value, shown) => {
    const line = toLogfmt(JSON.stringify({ level: 'info', value, msg: 'm' }));
    expect(parseLogfmt(line)).toEqual({ level: 'info', value: shown, msg: 'm' });
    // oxlint-disable-next-line no-control-regex -- what must not get to a terminal
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f]/);
  });

  it('writes a line that is no JSON all the same: logging never throws', () =>
    expect(parseLogfmt(toLogfmt('{"msg":"***\n'))).toEqual({ msg: '{"msg":"***' }));
});

describe('the logger', () => {
  const written = (format: 'json' | 'logfmt' | 'auto', redact?: (line: string) => string) => {
    let text = '';
    const out = new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString();
        done();
      },
    });
    const logger = createLogger({ level: 'info', format }, redact, out as unknown as NodeJS.WriteStream);
    logger.info({ consumer: 'billing' }, 'hello s3cret');
    logger.debug('not shown');
    return text;
  };

  it.each(['json', 'auto'] as const)('writes JSON lines (%s, not on a terminal)', (format) => {
    expect(JSON.parse(written(format))).toMatchObject({ level: 'info', consumer: 'billing', msg: 'hello s3cret' });
  });

  it('writes logfmt', () =>
    expect(parseLogfmt(written('logfmt'))).toMatchObject({ level: 'info', consumer: 'billing', msg: 'hello s3cret' }));

  it.each(['json', 'logfmt'] as const)('takes secrets out (%s)', (format) => {
    const text = written(format, (line) => line.replaceAll('s3cret', '***'));
    expect(text).toContain('***');
    expect(text).not.toContain('s3cret');
  });
});

describe('the observer', () => {
  afterEach(() => void vi.restoreAllMocks());

  const observing = (debug = false) => {
    let now = 5000;
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    const lines: Record<string, unknown>[] = [];
    const write = (level: string) => (fields: object, message: string) =>
      void lines.push({ level, message, ...fields });
    const logger = {
      warn: write('warn'),
      error: write('error'),
      debug: write('debug'),
      isLevelEnabled: () => debug,
    };
    const suppressed = new Cell();
    const observer = new LogObserver(logger as never, suppressed);
    const run = harness({ steps: [new Gate()] }).receive();
    return { observer, lines, suppressed, run, later: (milliseconds: number) => void (now += milliseconds) };
  };

  const failed = {
    error: error('TARGET_REJECTED', 'no'),
    route: route('r', () => undefined, { targetName: 'partner' }),
  };

  it('writes a line a second of each kind, with the number left out', () => {
    const { observer, lines, suppressed, run, later } = observing();
    for (let index = 0; index < 1000; index++) observer.retried(run, failed, 100);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      level: 'warn',
      consumer: 'billing',
      seq: 42,
      target: 'partner',
      code: 'TARGET_REJECTED',
      delay_ms: 100,
    });
    expect(lines[0]).not.toHaveProperty('suppressed');
    expect(suppressed.value).toBe(999);
    later(1000);
    observer.retried(run, failed, 100);
    expect(lines[1]).toMatchObject({ suppressed: 999 });
    later(1000);
    observer.retried(run, failed, 100);
    expect(lines[2]).not.toHaveProperty('suppressed');
  });

  it('does not leave out one kind for another', () => {
    const { observer, lines, run } = observing();
    observer.retried(run, failed, 1);
    observer.retried(run, { error: error('TARGET_TIMEOUT'), route: undefined }, 1);
    observer.deadLettered(run, failed, 'rejected');
    observer.deadLettered(run, failed, 'given_up');
    observer.refused(run, 'dead letter', new Error('full'), 5000);
    observer.refused(run, 'timer', new Error('full'), 5000);
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'warn', 'error', 'error', 'error', 'error']);
  });

  it('says nothing of what goes well, except for debugging', () => {
    const quiet = observing();
    quiet.observer.settled(quiet.run, outcome('delivered'));
    expect(quiet.lines).toEqual([]);
    const loud = observing(true);
    loud.observer.settled(loud.run, outcome('filtered', 'type'));
    expect(loud.lines).toMatchObject([{ level: 'debug', outcome: 'filtered', reason: 'type' }]);
  });
});
