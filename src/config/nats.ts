import { z } from 'zod';
import { filePath, literal } from './fields.ts';
import type { IssueDetails } from './fields.ts';

const SERVER = /^(?:(?:nats|tls|ws|wss):\/\/)?(?:[^@/\s]+@)?(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?\/?$/;

const server = z
  .string()
  .min(1)
  .superRefine((value, context) => {
    // Several in one string, separated by commas, as $NATS_URL and the NATS CLI have them.
    if (value.split(',').every((each) => SERVER.test(each.trim()))) return;
    const details: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint: 'for example nats://127.0.0.1:4222' };
    context.addIssue({
      code: 'custom',
      message: 'this is not the URL of a NATS server',
      input: value,
      params: { ...details },
    });
  })
  .meta({ strings: 'server' });

const split = (urls: string): string[] => urls.split(',').map((each) => each.trim());

export const nats = z
  .strictObject({
    servers: z
      .union([server, z.array(server).min(1)])
      .default('nats://127.0.0.1:4222')
      .transform((value) => (typeof value === 'string' ? split(value) : value.flatMap(split)))
      .describe(
        'URLs of the NATS servers: one, several separated by commas, or a list. `user:password@` may stand in them.',
      ),
    creds: filePath().optional().describe('File with user JWT and seed. It is read again on every connect.'),
    nkey: filePath().optional().describe('File with an NKey seed, or the seed itself (`${file:…}`).'),
    token: literal().optional().describe('Token. Put it in as `${file:…}` or `${VAR}`.'),
    user: literal().optional().describe('User name.'),
    password: literal().optional().describe('Password. Put it in as `${file:…}` or `${VAR}`.'),
    tls: z
      .strictObject({
        ca: filePath().optional().describe('File with the certificates of the authorities to trust.'),
        cert: filePath().optional().describe('File with the client certificate.'),
        key: filePath().optional().describe('File with the private key of the client certificate.'),
      })
      .optional()
      .describe('TLS, when the servers want a client certificate or have an authority of their own.'),
    domain: literal().optional().describe('JetStream domain.'),
    system: z
      .strictObject({
        replicas: z
          .number()
          .int()
          .min(1)
          .max(5)
          .default(1)
          .describe('Replicas of the streams and buckets named OUZEL_*.'),
      })
      .prefault({})
      .describe('The streams and buckets that Ouzel keeps for itself.'),
  })
  .prefault({})
  .describe('The connection to NATS.');
