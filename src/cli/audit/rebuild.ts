import { Command } from 'commander';
import { rebuild } from '../../audit/project.ts';
import { AuditStore } from '../../audit/store.ts';
import { OuzelError } from '../../errors.ts';
import { print, printJson } from '../print.ts';
import { CONFIG_OPTION, withSession } from '../session.ts';

const HELP = `
Takes out of the table what the stream still has, and writes it anew from there.
Older rows stay. A daemon may go on meanwhile.

Example:
  ouzel audit rebuild`;

interface Options {
  readonly config?: string;
  readonly json?: boolean;
}

export const rebuildCommand = (): Command =>
  new Command('rebuild')
    .description('write the table of records (audit.store) anew from the stream')
    .option(...CONFIG_OPTION)
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action(run);

async function run({ config, json }: Options): Promise<void> {
  await withSession(config, async (session) => {
    const { store: url } = session.loaded.config.audit;
    if (url === undefined)
      throw new OuzelError('USAGE', 'there is no table to rebuild: audit.store is not set in the configuration');
    const store = new AuditStore(url);
    try {
      const { isTTY } = process.stderr;
      const records = await rebuild(session, store, (done) => {
        if (isTTY) process.stderr.write(`\r${done} records`);
      });
      if (isTTY) process.stderr.write('\r\u001b[K');
      if (json === true) printJson({ records });
      else print(`${records} records are in ${store.database.shown}.`);
    } finally {
      await store.close();
    }
  });
}
