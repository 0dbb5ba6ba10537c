import { createHash, randomBytes } from 'node:crypto';
import { Command, InvalidArgumentError, Option } from 'commander';
import { print, printJson } from './print.ts';

interface Options {
  readonly name?: string;
  readonly may: readonly string[];
  readonly json?: boolean;
}

const SCOPES = ['read', 'publish', 'operate', 'admin'];
/** Told apart from other secrets by those who look for some that got lost. */
const PREFIX = 'ouzel_';
const BYTES = 32;

const HELP = `
Prints a token, once, and the entry of \`access\` that lets in who shows it. The
entry holds only the hash of the token and is no secret; the token is kept
nowhere.

Examples:
  ouzel token new --name ci --may admin
  ouzel token new --name dashboard --may read
  ouzel token new --json | jq -r .token > /run/secrets/ouzel`;

export function tokenCommand(): Command {
  const command = new Command('token').description('credentials for the API');
  command
    .command('new')
    .description('make a token, and the line of `access` that lets it in')
    .option('--name <name>', 'what the audit calls who shows it', nameOf)
    .addOption(
      new Option('--may <scopes>', `what it allows: ${SCOPES.join(', ')}; several with commas`)
        .default(['read'], 'read')
        .argParser(scopesOf),
    )
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action(run);
  return command;
}

function run({ name, may, json }: Options): void {
  const token = PREFIX + randomBytes(BYTES).toString('base64url');
  const hash = `sha256:${createHash('sha256').update(token).digest('hex')}`;
  const entry = { ...(name === undefined ? {} : { name }), who: { token: hash }, may: may.length === 1 ? may[0] : may };
  if (json === true) return printJson({ token, access: entry });
  const named = name === undefined ? '' : `name: ${name}, `;
  const scopes = may.length === 1 ? may[0] : `[${may.join(', ')}]`;
  print(`token (shown this once):\n  ${token}\n`);
  print(`in the configuration:\n  access:\n    - { ${named}who: { token: "${hash}" }, may: ${scopes} }\n`);
  print('to use it:\n  OUZEL_TOKEN=… ouzel tap\n  curl -H "Authorization: Bearer $OUZEL_TOKEN" …');
}

function nameOf(text: string): string {
  if (/^[\w.@/-]{1,63}$/.test(text)) return text;
  throw new InvalidArgumentError('letters, digits and ._@/- are expected, 63 at most');
}

function scopesOf(text: string): string[] {
  const scopes = text.split(',').map((each) => each.trim());
  const unknown = scopes.find((each) => !SCOPES.includes(each));
  if (unknown === undefined) return [...new Set(scopes)];
  throw new InvalidArgumentError(`"${unknown}" is none of ${SCOPES.join(', ')}`);
}
