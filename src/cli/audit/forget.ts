import { Command } from 'commander';
import { forgetPayloads } from '../../audit/payloads.ts';
import { JetStreamPublisher } from '../../nats/publish.ts';
import { Wire } from '../../nats/wire.ts';
import { agreed, needsSomebody } from '../confirm.ts';
import { print, printJson } from '../print.ts';
import { Recorder } from '../recorder.ts';
import { CONFIG_OPTION, withSession } from '../session.ts';

const HELP = `
Erases the data that the audit keeps of all events with this key (audit:
{ payloads: true }), for good. What became of the events, and the key, stay
recorded; that somebody erased it is recorded too.

Example:
  ouzel audit forget --key c-7 --yes`;

interface Options {
  readonly config?: string;
  readonly key: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export const forgetCommand = (): Command =>
  new Command('forget')
    .description('erase the data that is kept of all events with a key')
    .requiredOption('--key <key>', 'the key of the events')
    .option(...CONFIG_OPTION)
    .option('--yes', 'do not ask')
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action(forget);

async function forget({ config, key, yes, json }: Options): Promise<void> {
  if (yes !== true) needsSomebody('this erases data for good');
  await withSession(config, async (session) => {
    if (yes !== true && !(await agreed(`Erase the data of all events with the key "${key}"?`))) return;
    const { connection, manager } = session;
    const publisher = new JetStreamPublisher(connection, new Wire(connection));
    const recorder = new Recorder(session, publisher);
    try {
      const erased = await forgetPayloads(manager, key);
      await recorder.record('audit.forget', 'audit', { key, erased });
      if (json === true) printJson({ erased });
      else print(`${erased} payloads of "${key}" are erased.`);
    } finally {
      await recorder.close();
      publisher.close();
    }
  });
}
