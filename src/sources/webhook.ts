/** Webhooks that come in: what a source says of them. How they are taken is in `http/ingress/`. */
import { z } from 'zod';
import { optionalShape, present } from '../config/components.ts';
import { duration, size } from '../config/fields.ts';
import { defineSource } from './component.ts';
import { verifiers } from './verify/index.ts';
import type { Verifier, VerifierComponent } from './verify/verifier.ts';

/** Bytes of a body, at most, whatever the configuration says. */
export const LARGEST_BODY = 64 * 1024 * 1024;

/** The path of `POST /events`. */
export const EVENTS_PATH = '/events';

const path = z
  .string()
  .max(200)
  .superRefine((value, context) => {
    const problem = pathProblem(value);
    if (problem === undefined) return;
    const params = { code: 'CONFIG_INVALID_VALUE', hint: 'for example /hooks/github' };
    context.addIssue({ code: 'custom', message: `the path "${value}" ${problem}`, params });
  });

function pathProblem(value: string): string | undefined {
  if (!value.startsWith('/')) return 'does not begin with /';
  if (!/^[A-Za-z0-9\-._~!$&'()*+,;=:@/%]+$/.test(value)) return 'has a character that must be percent-encoded';
  if (value.split('/').some((segment) => segment === '.' || segment === '..')) return 'has . or .. as a segment';
  return value === EVENTS_PATH ? 'is that of posted events' : undefined;
}

const verify = z.union([
  z.literal('none'),
  z.strictObject(optionalShape(verifiers)).superRefine((value, context) => {
    present(value, context, verifiers, 'exactly one');
  }),
]);

const CONTENT_TYPES = ['json', 'form', 'cloudevents', 'text', 'raw'] as const;
export type ContentKind = (typeof CONTENT_TYPES)[number];

export const webhook = defineSource({
  name: 'webhook',
  summary: 'Requests to a path of `http.ingress`, each of which becomes an event.',
  example: '{ path: /hooks/github, verify: { github: { secret: "${file:/run/secrets/github}" } } }',
  options: z.strictObject({
    path: path.describe('The path, exactly as it is asked for, without a query.'),
    verify: verify.describe(
      'How it is known that a request comes from whom it says: one of the ways below. `none` has to be written: everybody can make events then.',
    ),
    methods: z
      .array(z.enum(['POST', 'PUT', 'PATCH', 'GET']))
      .min(1)
      .default(['POST'])
      .describe('Methods that are taken.'),
    max_body: size()
      .refine((value) => value <= LARGEST_BODY, { error: 'at most 64MiB' })
      .default(1_048_576)
      .describe('The largest body. NATS has a limit of its own (`max_payload`, 1MiB unless it is set).'),
    content_types: z
      .array(z.enum(CONTENT_TYPES))
      .min(1)
      .default(['json', 'form', 'cloudevents'])
      .describe(
        'Bodies that are taken: `json`; `form`, whose fields become JSON; `cloudevents`, structured, binary and batch; `text` and XML; `raw`, anything at all.',
      ),
    rate: z
      .strictObject({
        limit: z.number().int().min(1).max(1_000_000).describe('Requests.'),
        per: duration({ max: 86_400_000 }).describe('In this time.'),
      })
      .optional()
      .describe('How many requests are taken on each instance, once they are verified. More are answered with 429.'),
  }),
});

export type WebhookOptions = z.output<typeof webhook.options>;

const NOBODY: Verifier = { needsBody: false, verify: () => undefined };

/** What checks the requests of a source. */
export function verifierOf(given: WebhookOptions['verify']): Verifier {
  if (given === 'none') return NOBODY;
  const options = new Map<string, unknown>(Object.entries(given));
  const all: readonly VerifierComponent[] = verifiers;
  const component = all.find(({ name }) => options.get(name) !== undefined);
  // The schema has made sure that there is one.
  if (component === undefined) throw new TypeError('a webhook without a verifier');
  return component.prepare(options.get(component.name));
}
