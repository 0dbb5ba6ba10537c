import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findConfig } from '../../../src/config/discover.ts';
import { ConfigError, loadConfig } from '../../../src/config/load.ts';

const MAIN = resolve('src/main.ts');

let cwd: string;

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'ouzel-config-'));
});

afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

const write = (file: string, content: string | Uint8Array): string => {
  mkdirSync(dirname(join(cwd, file)), { recursive: true });
  writeFileSync(join(cwd, file), content);
  return join(cwd, file);
};

const failure = async (file?: string, env: Record<string, string> = {}): Promise<ConfigError> => {
  const error: unknown = await loadConfig({ file, env, cwd }).catch((reason: unknown) => reason);
  if (error instanceof ConfigError) return error;
  throw error;
};

describe('discovery', () => {
  it('takes --config, $OUZEL_CONFIG, config/ouzel.yaml and ouzel.yaml in this order', async () => {
    const places = ['ouzel.yaml', 'config/ouzel.yaml', 'by-variable.yml', 'by-option.txt'].map((file) =>
      write(file, `# ${file}`),
    );
    const find = (file?: string, env = {}) => findConfig({ file, env, cwd });
    expect(await find('by-option.txt', { OUZEL_CONFIG: 'by-variable.yml' })).toEqual({
      path: places[3],
      text: '# by-option.txt',
    });
    expect((await find(undefined, { OUZEL_CONFIG: 'by-variable.yml' })).path).toBe(places[2]);
    expect((await find(undefined, { OUZEL_CONFIG: '' })).path).toBe(places[1]);
    rmSync(join(cwd, 'config'), { recursive: true });
    expect((await find()).path).toBe(places[0]);
  });

  it('does not fall back where a file is named', async () => {
    write('ouzel.yaml', 'version: 1\n');
    const named = await failure('other.yaml');
    expect(named).toMatchObject({ code: 'CONFIG_NOT_FOUND', exitCode: 78 });
    expect(named.message).toContain('other.yaml');
    const variable = await failure(undefined, { OUZEL_CONFIG: '/nowhere/x.yaml' });
    expect(variable.message).toMatch(/\/nowhere\/x\.yaml \(\$OUZEL_CONFIG\)/);
  });

  it('does not search up the tree, and says where it looked', async () => {
    write('ouzel.yaml', 'version: 1\n');
    mkdirSync(join(cwd, 'below'));
    const error: unknown = await loadConfig({ env: {}, cwd: join(cwd, 'below') }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'CONFIG_NOT_FOUND' });
    expect(String(error)).toMatch(/config\/ouzel\.yaml, ouzel\.yaml, \/etc\/ouzel\/ouzel\.yaml/);
  });

  it('never runs anything, whatever the file is called and whatever lies beside it', { timeout: 30_000 }, () => {
    const trap = `require('node:fs').writeFileSync(${JSON.stringify(join(cwd, 'trapped'))}, '');`;
    write('.config/config.js', trap);
    write('package.json', '{ broken');
    write('ouzel.yaml', 'version: 1\n');
    write('config.js', trap);
    const validate = (...file: string[]) =>
      spawnSync(process.execPath, [MAIN, 'validate', ...file], { cwd, env: {}, encoding: 'utf8' });
    expect(validate()).toMatchObject({ status: 0, stdout: 'ouzel.yaml is valid: 0 consumers\n' });
    expect(validate('config.js')).toMatchObject({ status: 78 });
    expect(existsSync(join(cwd, 'trapped'))).toBe(false);
  });

  it('shows files below the working directory by their relative path, others by the whole one', async () => {
    write('config/ouzel.yaml', 'version: 1\nx: 1\n');
    expect((await failure()).place?.file).toBe('config/ouzel.yaml');
    const outside: unknown = await loadConfig({ file: join(cwd, 'config/ouzel.yaml'), env: {}, cwd: '/usr' }).catch(
      (e: unknown) => e,
    );
    expect(outside).toMatchObject({ place: { file: join(cwd, 'config/ouzel.yaml') } });
  });
});

describe('reading', () => {
  it('says that a directory is none', async () => {
    mkdirSync(join(cwd, 'ouzel.yaml'));
    expect(await failure()).toMatchObject({ code: 'CONFIG_UNREADABLE', exitCode: 78 });
    expect((await failure()).message).toMatch(/ouzel\.yaml cannot be read: it is a directory/);
  });

  it.skipIf(process.getuid?.() === 0)('says that a file is not readable', async () => {
    chmodSync(write('ouzel.yaml', 'version: 1\n'), 0);
    expect((await failure()).message).toMatch(/permission denied/);
  });

  it('says that a device is none', async () => {
    expect(await failure('/dev/zero')).toMatchObject({ code: 'CONFIG_UNREADABLE' });
  });

  it('refuses what is too large', async () => {
    write('ouzel.yaml', Buffer.alloc(9 * 1024 * 1024, '#'));
    expect((await failure()).message).toMatch(/larger than/);
  });

  it('says where a file is not UTF-8', async () => {
    write(
      'ouzel.yaml',
      Buffer.concat([Buffer.from('version: 1\nnats: { user: "a'), Buffer.from([0xff]), Buffer.from('" }\n')]),
    );
    expect((await failure()).problems[0]).toMatchObject({ code: 'CONFIG_UNREADABLE', place: { line: 2, column: 17 } });
  });

  it('says that a file is empty', async () => {
    write('ouzel.yaml', '');
    expect((await failure()).problems[0]).toMatchObject({ code: 'CONFIG_EMPTY', place: { line: 1, column: 1 } });
  });

  it.each([
    ['a BOM', Buffer.from('\ufeffversion: 1\nnats: { user: a }\n')],
    ['CRLF', Buffer.from('version: 1\r\nnats: { user: a }\r\n')],
    ['UTF-16', Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('version: 1\nnats: { user: a }\n', 'utf16le')])],
    ['a replacement character of its own', Buffer.from('version: 1 # \ufffd\nnats: { user: a }\n')],
  ])('reads %s', async (_name, content) => {
    write('ouzel.yaml', content);
    expect((await loadConfig({ env: {}, cwd })).config.nats.user).toBe('a');
  });
});
