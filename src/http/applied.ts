/** Resources of the fleet that are changed together: what is asked for, done, and told of it. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { redactedText } from '../config/redacted.ts';
import {
  type FleetAccess,
  type FleetResource,
  RESOURCE_SECTIONS,
  type ResourceChange,
  type ResourceKey,
} from '../fleet/ports.ts';
import type { RequestActor } from './auth/needs.ts';
import { refuseStars } from './resources.ts';
import type { HttpContext } from './server.ts';

const names = z.array(z.string());

export const applied = z
  .strictObject({
    dry_run: z.boolean(),
    resources: z.array(
      z.strictObject({
        section: z.enum(RESOURCE_SECTIONS),
        name: z.string(),
        action: z.enum(['made', 'changed', 'removed', 'unchanged']),
        before: z.string().nullable().describe('Its text; null where there was none. Secrets are `"***"`.'),
        after: z.string().nullable(),
        revision: z.number().int().nullable().describe('As it is now; null where it is gone, or nothing was stored.'),
      }),
    ),
    consumers: z
      .strictObject({ added: names, updated: names, moved: names, removed: names })
      .nullable()
      .describe('What became of the consumers of this instance; null where nothing was put in force.'),
  })
  .meta({ id: 'Applied', description: 'What became of each resource.' });

export type Applied = z.input<typeof applied>;

/** What is to be done to one resource. */
export interface Step {
  readonly key: ResourceKey;
  readonly action: Applied['resources'][number]['action'];
  readonly before: FleetResource | undefined;
  readonly after: string | undefined;
  /** The revision that it must have; default: the one that it was found with. */
  readonly expected?: number | undefined;
}

/** What has to be done for a resource to have this text; undefined removes it. */
export function stepTo(fleet: FleetAccess, key: ResourceKey, after: string | undefined, expected?: number): Step {
  const before = fleet.get(key);
  const action =
    before?.text === after ? 'unchanged' : after === undefined ? 'removed' : before === undefined ? 'made' : 'changed';
  return { key, action, before, after, expected };
}

interface Request {
  readonly steps: readonly Step[];
  readonly dryRun: boolean;
  readonly actor: RequestActor;
  readonly raw: FastifyRequest;
  /** For the audit. */
  readonly act: { readonly what: string; readonly resource: string };
}

/** Does it, all of it or none, and says what became of each. */
export async function applySteps(context: HttpContext, { steps, dryRun, actor, raw, act }: Request): Promise<Applied> {
  const fleet = context.fleet();
  const { redact } = context.loaded();
  const shown = (text: string | undefined): string | null => (text === undefined ? null : redactedText(text, redact));
  const list = steps.map(({ key, action, before, after }) => ({
    ...key,
    action,
    before: shown(before?.text),
    after: shown(after),
  }));
  const changed = list.filter(({ action }) => action !== 'unchanged');
  raw.act = {
    ...act,
    before: changed.map(({ section, name, before }) => ({ section, name, text: before })),
    after: changed.map(({ section, name, after }) => ({ section, name, text: after })),
    dryRun,
  };
  for (const { after } of steps) if (after !== undefined) refuseStars(after);
  const { consumers } = await fleet.change(steps.flatMap(changeOf), actor, { dryRun });
  return {
    dry_run: dryRun,
    resources: list.map((each) => ({ ...each, revision: fleet.get(each)?.revision ?? null })),
    consumers:
      consumers === undefined
        ? null
        : {
            added: [...consumers.added],
            updated: [...consumers.updated],
            moved: [...consumers.moved],
            removed: [...consumers.removed],
          },
  };
}

/** What is shown is what is done: each must still be as it was looked at. */
const changeOf = ({ key, action, before, after, expected }: Step): ResourceChange[] =>
  action === 'unchanged' ? [] : [{ ...key, text: after, expected: expected ?? before?.revision ?? 0 }];
