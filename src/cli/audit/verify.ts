import { Command } from 'commander';
import { verifyTrail } from '../../audit/read.ts';
import type { Verdict } from '../../audit/verify.ts';
import { EXIT } from '../../errors.ts';
import { askedInstant } from '../../reconcile/condition.ts';
import { progressLine } from '../dlq/options.ts';
import { print, printJson } from '../print.ts';
import { CONFIG_OPTION, withSession } from '../session.ts';

const HELP = `
Each batch of the trail names the hash of the one before it, the head of each
chain is kept in the bucket OUZEL_AUDIT, and acts have their hash in the chain.
What is changed, missing or stands elsewhere is named; the exit code is 1 then.
What went by its age is not missing.

Examples:
  ouzel audit verify
  ouzel audit verify --since 24h --json`;

interface Options {
  readonly config?: string;
  readonly since?: string;
  readonly json?: boolean;
}

export function verifyCommand(): Command {
  return new Command('verify')
    .description('find what was changed, removed or reordered in the audit')
    .option(...CONFIG_OPTION)
    .option('--since <when>', 'only what was stored since then: 2026-01-31T08:00:00Z, or 24h (ago)')
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action(verify);
}

async function verify({ config, since, json }: Options): Promise<void> {
  const from = since === undefined ? undefined : askedInstant('since', since, Date.now());
  await withSession(config, async (session) => {
    const progress = progressLine('batches');
    const verdict = await verifyTrail(session, from, (done, all) => progress.show(done, all));
    progress.clear();
    if (verdict.faults.length > 0) process.exitCode = EXIT.failed;
    if (json === true) printJson(verdict);
    else show(verdict);
  });
}

function show({ faults, chains, batches, records, acts, unchained }: Verdict): void {
  for (const { kind, message } of faults) print(`${kind}: ${message}`);
  const seen = `${records} records in ${batches} batches of ${chains} chains, ${acts} acts`;
  print(faults.length === 0 ? `The audit is whole: ${seen}.` : `${faults.length} faults in ${seen}.`);
  if (unchained > 0) print(`${unchained} acts are in no chain: nothing can be said of them.`);
}
