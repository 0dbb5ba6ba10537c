import { Command } from 'commander';
import { VERSION } from '../version.ts';

export function versionCommand(): Command {
  return new Command('version')
    .description('print the version')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  ouzel version --json')
    .action(({ json }: { json?: boolean }) => {
      const text =
        json === true
          ? JSON.stringify({ version: VERSION, node: process.version })
          : `ouzel ${VERSION} (Node ${process.version})`;
      process.stdout.write(`${text}\n`);
    });
}
