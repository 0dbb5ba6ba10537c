import { Command } from 'commander';
import { verifyCommand } from './verify.ts';

export const auditCommand = (): Command =>
  new Command('audit')
    .description('what became of events, and whether its record is whole')
    .addCommand(verifyCommand());
