/** Transcripts in the docs: the commands of their `console` blocks, run as they stand, and what they are to print. */
import { spawn } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MAIN, processEnv } from './cli.ts';
import { waitFor } from './wait.ts';

export interface Step {
  /** As it stands in the page, over several lines where it has them. */
  readonly command: string;
  /** What it prints. `…` stands for anything in a line, and alone in a line for any lines. */
  readonly output: string;
  /** Of the page. */
  readonly line: number;
}

export interface Page {
  /** The first block of YAML. */
  readonly config: string;
  readonly steps: readonly Step[];
}

/** The configuration and the commands of a page. */
export async function readPage(path: string): Promise<Page> {
  const lines = (await readFile(path, 'utf8')).split('\n');
  const steps: Step[] = [];
  const blocks = blocksOf(lines);
  for (const { language, from, to } of blocks) if (language === 'console') steps.push(...stepsOf(lines, from, to));
  const first = blocks.find(({ language }) => language === 'yaml');
  return { config: first === undefined ? '' : `${lines.slice(first.from, first.to).join('\n')}\n`, steps };
}

interface Block {
  readonly language: string;
  /** Indices of lines; the second is behind the last. */
  readonly from: number;
  readonly to: number;
}

function blocksOf(lines: readonly string[]): Block[] {
  const blocks: Block[] = [];
  let open: Omit<Block, 'to'> | undefined;
  for (const [index, line] of lines.entries()) {
    if (!line.startsWith('```')) continue;
    if (open === undefined) open = { language: line.slice(3).trim(), from: index + 1 };
    else {
      blocks.push({ ...open, to: index });
      open = undefined;
    }
  }
  return blocks;
}

function stepsOf(lines: readonly string[], from: number, to: number): Step[] {
  const steps: Step[] = [];
  for (let index = from; index < to;) {
    const start = index;
    let command = (lines[index++] ?? '').replace(/^\$ /, '');
    while (index < to && isOpen(command)) command += `\n${lines[index++] ?? ''}`;
    const output: string[] = [];
    while (index < to && !(lines[index] ?? '').startsWith('$ ')) output.push(lines[index++] ?? '');
    steps.push({ command, output: output.map((each) => `${each}\n`).join(''), line: start + 1 });
  }
  return steps;
}

/** Whether a command goes on in the next line: in a quote, or a here-document. */
function isOpen(command: string): boolean {
  const end = /<<'?(\w+)'?/.exec(command)?.[1];
  if (end !== undefined) return !command.endsWith(`\n${end}`);
  return (command.match(/'/g) ?? []).length % 2 === 1;
}

const literal = (text: string): string => text.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`);

/** Whether text is what a page says of it. */
export function fits(text: string, expected: string): boolean {
  const pattern = expected
    .split('\n')
    .map((line) => (line === '…' ? '(?:.*\\n)*?.*' : line.split('…').map(literal).join('.*?')))
    .join('\n');
  return new RegExp(`^${pattern}$`).test(text);
}

export interface TranscriptOptions {
  readonly directory: string;
  /** What the page calls something, and what it is here: addresses. */
  readonly names: readonly (readonly [page: string, here: string])[];
  readonly env?: Readonly<Record<string, string>>;
  /** Runs `nats` where the CLI is not installed, by its words. */
  readonly nats: (words: readonly string[]) => Promise<string>;
}

/** Commands that change nothing are looked at until they say what the page says: a fleet needs a moment to agree. */
const READS =
  /^(?:curl -s (?!.*(?:-X|-d|--data))|ouzel (?:timers list|consumers (?:list|show)|config (?:show|diff|history)|schedules(?! fire)|audit(?! (?:forget|rebuild))) |.* --dry-run )/;

/** Runs commands in order, each to its end. @throws Error with the place in the page and both texts */
export async function runSteps(page: string, steps: readonly Step[], options: TranscriptOptions): Promise<void> {
  const run = await shell(options);
  for (const { command, output, line } of steps) {
    let printed = '';
    const isMet = async (): Promise<boolean> => {
      printed = await run(command);
      return fits(printed, output);
    };
    const what = (): string => `${page}:${line}\n$ ${command}\nis to print\n${output}\nand printed\n${printed}`;
    if (READS.test(`${command} `)) await waitFor(isMet, { timeout: 45_000, what });
    else if (!(await isMet())) throw new Error(what());
  }
}

/** What runs a command, and answers with all that it prints, in the page's names. */
async function shell({
  directory,
  names,
  env = {},
  nats,
}: TranscriptOptions): Promise<(command: string) => Promise<string>> {
  const bin = join(directory, '.bin');
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, 'ouzel'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  await chmod(join(bin, 'ouzel'), 0o755);
  const environment = processEnv({ ...env, PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: directory });
  const bash = async (command: string): Promise<string> => {
    const child = spawn('bash', ['-c', `exec 2>&1\n${command}`], {
      cwd: directory,
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
    return text;
  };
  const hasNats = (await bash('command -v nats')) !== '';
  const replaced = (text: string, from: 0 | 1, to: 0 | 1): string =>
    names.reduce((all, pair) => all.replaceAll(pair[from], pair[to]), text);
  return async (command) => {
    if (command.startsWith('nats ') && !hasNats) {
      const words = await bash(`nats() { printf '%s\\0' "$@"; }\n${command}`);
      return nats(words.split('\0').slice(0, -1));
    }
    const printed = replaced(await bash(replaced(command, 0, 1)), 1, 0);
    // A body without a line end would run into the next prompt.
    return printed === '' || printed.endsWith('\n') ? printed : `${printed}\n`;
  };
}
