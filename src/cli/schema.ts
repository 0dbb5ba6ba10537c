import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { type GeneratedFile, generatedFiles, jsonSchema } from '../config/generate.ts';

const ROOT = join(import.meta.dirname, '..', '..');

const onDisk = ({ path }: GeneratedFile): string | undefined => {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return undefined;
  }
};

/** `ouzel schema`: the JSON schema of the configuration, and the files that are made from it. */
export function schemaCommand(): Command {
  return new Command('schema')
    .description('print the JSON schema of the configuration, for editors')
    .option('--write', 'write the generated files of the checkout anew')
    .option('--check', 'fail when a generated file of the checkout is not up to date')
    .addHelpText('after', '\nExample:\n  $ ouzel schema > ouzel.schema.json')
    .action(({ write, check }: { write?: boolean; check?: boolean }) => {
      if (check !== true && write !== true) {
        process.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
        return;
      }
      const stale = generatedFiles().filter((file) => onDisk(file) !== file.content);
      if (check === true) {
        for (const { path } of stale) process.stderr.write(`${path} is not up to date\n`);
        if (stale.length > 0) {
          process.stderr.write('run: npm run -s ouzel -- schema --write\n');
          process.exitCode = 1;
        }
        return;
      }
      for (const { path, content } of stale) {
        mkdirSync(dirname(join(ROOT, path)), { recursive: true });
        writeFileSync(join(ROOT, path), content);
        process.stdout.write(`${path} written\n`);
      }
      if (stale.length === 0) process.stdout.write('everything is up to date\n');
    });
}
