/** Filters, types, transformers, targets and consumers as the API shows and changes them, the file's and the fleet's alike. */
import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { holdsStars, redactedText, redactedValue } from '../config/redacted.ts';
import { stringifyJson } from '../core/json.ts';
import { formatPlace, OuzelError } from '../errors.ts';
import type { FleetAccess, FleetResource, ResourceKey, ResourceSection } from '../fleet/ports.ts';
import { expectedRevision, isConditional } from './conditions.ts';
import { mergePatch } from './merge-patch.ts';
import type { RequestActor } from './auth/needs.ts';
import type { HttpContext } from './server.ts';

/** What every resource has. */
export const resourceShape = {
  name: z.string(),
  owner: z
    .enum(['file', 'fleet'])
    .describe('Who has it: a file of the configuration, or the fleet. Only the fleet’s can be changed here.'),
  etag: z.string().describe('For `If-Match`.'),
  revision: z.number().int().nullable().describe('Of the fleet’s configuration; null for the file’s.'),
  place: z.string().nullable().describe('Where it stands: `file:line:column`.'),
  changed: z
    .strictObject({ by: z.string(), from: z.string(), at: z.string() })
    .nullable()
    .describe('Who changed it last, from where and when; null for the file’s.'),
  config: z
    .unknown()
    .describe('As it is in force, filled in. Secrets are `***`; null where it is not in force on this instance.'),
  text: z.string().nullable().describe('As it was given, YAML or JSON; null for the file’s. Secrets are `"***"`.'),
};

const resource = z.strictObject(resourceShape);
export type Resource = z.input<typeof resource>;

export type ResourceContext = Pick<HttpContext, 'loaded' | 'fleet'>;

/** The fleet's configuration, or undefined before NATS was there. */
export function fleetOf(context: ResourceContext): FleetAccess | undefined {
  try {
    return context.fleet();
  } catch {
    return undefined;
  }
}

type Named = Readonly<Record<string, unknown>>;

const entriesOf = ({ source }: { readonly source: Named }, section: ResourceSection): Named =>
  (source[section] ?? {}) as Named;

/** The names of all resources of a section, in order. */
export function namesOf(context: ResourceContext, section: ResourceSection): string[] {
  const fleet = (fleetOf(context)?.list(section) ?? []).map(({ name }) => name);
  return [...new Set([...Object.keys(entriesOf(context.loaded(), section)), ...fleet])].toSorted();
}

/** Who has a resource that is there. */
export function ownerOf(context: ResourceContext, { section, name }: ResourceKey): Resource['owner'] {
  const loaded = context.loaded();
  if (!Object.hasOwn(entriesOf(loaded, section), name)) return 'fleet';
  return loaded.placeOf([section, name]).file.startsWith('fleet:') ? 'fleet' : 'file';
}

/** A resource as it is now; undefined when there is none. */
export function findResource(context: ResourceContext, key: ResourceKey): Resource | undefined {
  const loaded = context.loaded();
  const { section, name } = key;
  const entries = entriesOf(loaded, section);
  const isThere = Object.hasOwn(entries, name);
  const stored = fleetOf(context)?.get(key);
  if (!isThere && stored === undefined) return undefined;
  const place = isThere ? loaded.placeOf([section, name]) : undefined;
  const owner = ownerOf(context, key);
  const config = isThere ? redactedValue(entries[name], loaded.redact) : null;
  const common = { name, owner, place: place === undefined ? null : formatPlace(place), config };
  if (owner === 'file' || stored === undefined) {
    const hash = createHash('sha256')
      .update(JSON.stringify(entries[name] ?? null))
      .digest('hex')
      .slice(0, 16);
    return {
      ...common,
      etag: `"file-${hash}"`,
      revision: null,
      changed: null,
      text: null,
    };
  }
  const { revision, by, at, text } = stored;
  const shown = text === undefined ? null : redactedText(text, loaded.redact);
  return {
    ...common,
    etag: `"${revision}"`,
    revision,
    changed: { by: by.name, from: by.from, at },
    text: shown,
  };
}

/** @throws OuzelError NOT_FOUND; NATS_UNAVAILABLE while it is not known what the fleet has */
export function theResource(context: ResourceContext, key: ResourceKey): Resource {
  const found = findResource(context, key);
  if (found !== undefined) return found;
  // Before NATS was there nobody knows.
  context.fleet();
  throw new OuzelError('NOT_FOUND', `there is nothing named "${key.name}" in ${key.section}`);
}

interface Write {
  readonly context: ResourceContext;
  readonly key: ResourceKey;
  readonly request: FastifyRequest;
  readonly actor: RequestActor;
}

const SINGULAR: Readonly<Record<ResourceSection, string>> = {
  filters: 'filter',
  types: 'type',
  transformers: 'transformer',
  targets: 'target',
  consumers: 'consumer',
  sources: 'source',
};

/** Notes for the audit what is about to be done. */
function note(
  { context, key, request }: Write,
  verb: string,
  before: string | undefined,
  after: string | undefined,
): void {
  const shown = (text: string | undefined) =>
    text === undefined ? undefined : redactedText(text, context.loaded().redact);
  request.act = {
    what: `${SINGULAR[key.section]}.${verb}`,
    resource: `${key.section}/${key.name}`,
    before: shown(before),
    after: shown(after),
  };
}

/** What was shown must not come back: nobody would know the secret any more. */
export function refuseStars(text: string): void {
  if (holdsStars(text))
    throw new OuzelError(
      'CONFIG_INVALID_VALUE',
      '"***" stands where a secret was taken out: write the secret, or ${VAR} or ${file:…} in its place',
    );
}

/** Makes or replaces a resource. @returns Whether it is new. */
export async function putResource(write: Write, text: string): Promise<boolean> {
  const { context, key, request, actor } = write;
  const fleet = context.fleet();
  const before = fleet.get(key);
  note(write, 'put', before?.text, text);
  const expected = expectedRevision(request, tagged(findResource(context, key)));
  refuseStars(text);
  await fleet.change([{ ...key, text, expected }], actor);
  return before === undefined;
}

/** Tries of a patch that others get ahead of. */
const TRIES = 5;

/** Changes a part of a resource (RFC 7396). */
export async function patchResource(write: Write, patch: unknown): Promise<void> {
  const { context, key, request, actor } = write;
  const fleet = context.fleet();
  for (let left = TRIES; ; left--) {
    const found = theResource(context, key);
    expectedRevision(request, tagged(found));
    const before = fleet.get(key);
    const text = before?.text === undefined ? stringifyJson(patch) : mergePatch(before.text, patch);
    note(write, 'patch', before?.text, text);
    refuseStars(text);
    try {
      await fleet.change([{ ...key, text, expected: before?.revision }], actor);
      return;
    } catch (error) {
      const isConflict = error instanceof OuzelError && error.code === 'CONFLICT';
      if (!isConflict || left <= 1 || isConditional(request)) throw error;
    }
  }
}

/** Removes a resource. @throws OuzelError NOT_FOUND */
export async function deleteResource(write: Write): Promise<void> {
  const { context, key, request, actor } = write;
  const found = findResource(context, key);
  const fleet = context.fleet();
  note(write, 'delete', fleet.get(key)?.text, undefined);
  const expected = expectedRevision(request, tagged(found));
  if (found === undefined) theResource(context, key);
  await fleet.change([{ ...key, text: undefined, expected }], actor);
}

const tagged = (found: Resource | undefined) =>
  found === undefined ? undefined : { etag: found.etag, revision: found.revision ?? undefined };

/** A revision as the history shows it. */
export const revisionSchema = z.strictObject({
  revision: z.number().int(),
  by: z.string(),
  from: z.string(),
  at: z.string(),
  text: z.string().nullable().describe('As it was given; null where it was removed. Secrets are `"***"`.'),
});

/** @param redact Takes known secrets out. */
export const shownRevision = (
  { revision, by, at, text }: FleetResource,
  redact: (text: string) => string,
): z.input<typeof revisionSchema> => ({
  revision,
  by: by.name,
  from: by.from,
  at,
  text: text === undefined ? null : redactedText(text, redact),
});
