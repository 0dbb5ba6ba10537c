import { z } from 'zod';

export const telemetry = z
  .strictObject({
    log: z
      .strictObject({
        level: z
          .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
          .default('info')
          .describe('The least level that is written.'),
        format: z
          .enum(['auto', 'pretty', 'json', 'logfmt'])
          .default('auto')
          .describe('auto: pretty on a terminal, json elsewhere.'),
      })
      .prefault({})
      .describe('The log, on standard output.'),
  })
  .prefault({})
  .describe('What Ouzel says of itself.');
