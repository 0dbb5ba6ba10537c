import { Command, Option } from 'commander';
import { stringify } from 'yaml';
import { suggestion } from '../../config/suggest.ts';
import { OuzelError } from '../../errors.ts';
import { type ApiOptions, apiOptions, openApi } from '../api.ts';
import { print, printJson } from '../print.ts';
import { CONFIG_OPTION } from '../session.ts';

interface Options extends ApiOptions {
  readonly owner?: 'file' | 'fleet';
  readonly json?: boolean;
}

interface Owner {
  readonly owner: 'file' | 'fleet';
  readonly place: string | null;
  readonly revision: number | null;
}

interface Effective {
  readonly file: string;
  readonly hash: string;
  readonly generation: number;
  readonly config: Readonly<Record<string, unknown>>;
  readonly owners: Readonly<Record<string, Readonly<Record<string, Owner>>>>;
}

const HELP = `
This is what the daemon has in force: the file's and the fleet's, filled in. Beside
each entry stands who has it and where. Secrets are ***.

Examples:
  ouzel config show
  ouzel config show consumers --owner fleet
  ouzel config show consumers/billing --json`;

/** `ouzel config show`: the configuration in force, with the owner of each entry. */
export function showCommand(): Command {
  return apiOptions(
    new Command('show')
      .description('the configuration in force, and who has each entry')
      .argument('[what]', 'a section, or section/name')
      .option(...CONFIG_OPTION),
  )
    .addOption(new Option('--owner <who>', 'only the entries of').choices(['fleet', 'file']))
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action(show);
}

async function show(what: string | undefined, options: Options): Promise<void> {
  const effective = await (await openApi(options)).call<Effective>('GET', '/api/v1/config');
  const [section, name] = what?.split('/') ?? [];
  const chosen = chosenOf(effective, section, name, options.owner);
  if (options.json === true) return printJson(jsonOf(effective, chosen));
  print(`# ${effective.file}, generation ${effective.generation}, hash ${effective.hash}`);
  for (const [key, value] of Object.entries(chosen)) print(rendered(key, value, effective.owners[key]));
}

/** The sections, or the part of one, that are meant. @throws OuzelError NOT_FOUND */
function chosenOf(
  { config, owners }: Effective,
  section: string | undefined,
  name: string | undefined,
  owner: Options['owner'],
): Record<string, unknown> {
  const missing = (word: string, among: readonly string[]): never => {
    throw new OuzelError('NOT_FOUND', `nothing in force is named "${word}"; ${suggestion(word, among) ?? ''}`);
  };
  if (section !== undefined && !Object.hasOwn(config, section)) return missing(section, Object.keys(config));
  const sections = section === undefined ? Object.keys(config) : [section];
  const chosen = sections.flatMap((key): [string, unknown][] => {
    const value = config[key];
    const of = owners[key];
    if (of === undefined) return owner === 'fleet' ? [] : [[key, value]];
    const entries = Object.entries((value ?? {}) as Record<string, unknown>).filter(
      ([each]) => (name === undefined || each === name) && (owner === undefined || of[each]?.owner === owner),
    );
    if (name !== undefined && entries.length === 0) return missing(`${key}/${name}`, Object.keys(of));
    return entries.length === 0 ? [] : [[key, Object.fromEntries(entries)]];
  });
  return Object.fromEntries(chosen);
}

function jsonOf({ file, hash, generation, owners }: Effective, chosen: Readonly<Record<string, unknown>>): unknown {
  const shown = Object.keys(chosen).flatMap((section) => {
    const of = owners[section];
    if (of === undefined) return [];
    const names = Object.keys(chosen[section] as object);
    return [[section, Object.fromEntries(names.map((name) => [name, of[name]]))]];
  });
  return { file, hash, generation, config: chosen, owners: Object.fromEntries(shown) as unknown };
}

const yaml = (value: unknown): string => stringify(value, { lineWidth: 0 }).trimEnd();
const indented = (text: string): string => text.replaceAll(/^(?=.)/gm, '  ');

function rendered(key: string, value: unknown, owners: Effective['owners'][string] | undefined): string {
  if (owners === undefined) return yaml({ [key]: value });
  const entries = Object.entries(value as Record<string, unknown>).map(([name, entry]) =>
    indented(`# ${ownedBy(owners[name])}\n${yaml({ [name]: entry })}`),
  );
  return `${key}:\n${entries.join('\n')}`;
}

function ownedBy(owner: Owner | undefined): string {
  if (owner?.owner === 'fleet') return `fleet${owner.revision === null ? '' : `, revision ${owner.revision}`}`;
  return `file, ${owner?.place ?? 'nowhere'}`;
}
