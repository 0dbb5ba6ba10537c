/** What is asked for, and whether it can be had. */
import { z } from 'zod';
import type { Config } from '../config/schema.ts';
import { covers } from '../core/subjects.ts';
import { parseRate } from '../deadletter/pace.ts';
import type { LetterAccess } from '../deadletter/read.ts';
import { OuzelError } from '../errors.ts';
import { askedInstant } from '../reconcile/condition.ts';
import { ArchiveSource } from './archive.ts';
import { createSelection, type Selection } from './select.ts';
import type { ReplayRange, ReplaySource } from './source.ts';
import { StreamSource } from './stream.ts';

/** What a replay needs: of a command, or of the daemon. */
export type ReplayAccess = Omit<LetterAccess, 'permits'>;

const text = (description: string) => z.string().min(1).max(4096).optional().describe(description);

const STREAM_NAME = /^[^\s.*>/\\]+$/;

/** Letters, digits, - and _; it becomes part of a key, of headers and of message ids. */
export const replayName = () =>
  z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, 'a name has letters, digits, - and _, and at most 63 of them')
    .describe('The name of the replay.');

/** A replay as it is asked for, and as it is kept. */
export const ASKED = {
  stream: z
    .string()
    .regex(STREAM_NAME, 'no name of a stream: it has no spaces, dots, slashes, `*` or `>`')
    .max(255)
    .describe('The stream to read.'),
  from: text('The target that is an archive of it (`sql: { archive: true }`), to read in its place.'),
  to: z.array(z.string().min(1)).min(1).max(64).describe('The consumers that get the events; nobody else does.'),
  since: text('Only events since this instant of their stream, or so long ago: `2h`. Default: from the beginning.'),
  until: text('Only events up to this instant. Default: all that are there when it begins.'),
  key: text('Only events with this key.'),
  type: text('Only of these types, separated by commas: `orders.*`.'),
  where: text('Only where this expression is true of the event as it came.'),
  limit: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional().describe('Events at most, the oldest first.'),
  rate: text('How many events in a time, at most: `500/s`.'),
};
export type ReplayAsked = z.output<z.ZodObject<typeof ASKED>>;

export interface ReplayPlan {
  readonly source: ReplaySource;
  readonly range: ReplayRange;
  readonly select: Selection;
  /** Events a second; undefined: as fast as may be. */
  readonly rate: number | undefined;
  readonly limit: number;
  /** What does not stand in the way, and should be known. */
  readonly warnings: readonly string[];
}

/**
 * Checks what is asked for. Whoever gets the plan closes its source.
 *
 * @param known What `2h` meant when it began, of a replay that goes on.
 * @throws OuzelError USAGE, NOT_FOUND
 */
export function planReplay(
  { config, client, manager }: ReplayAccess,
  asked: ReplayAsked,
  known?: Pick<ReplayRange, 'since' | 'until'>,
): ReplayPlan {
  const { stream, from: archive, since, until, rate, limit = Infinity } = asked;
  if (!STREAM_NAME.test(stream)) throw new OuzelError('USAGE', `"${stream}" is no name of a stream`);
  const consumers = [...new Set(asked.to)];
  const warnings = consumers.flatMap((name) => warningsOf(config, name, stream));
  const now = Date.now();
  const from = since === undefined ? undefined : (known?.since ?? askedInstant('since', since, now));
  const to = until === undefined ? undefined : (known?.until ?? askedInstant('until', until, now));
  if (from !== undefined && to !== undefined && from > to)
    throw new OuzelError('USAGE', '--since lies after --until, so nothing is between them');
  const rest = {
    range: { since: from, until: to, subjects: subjectsOf(config, consumers) },
    select: createSelection(config, { ...asked, to: consumers }),
    rate: rate === undefined ? undefined : parseRate(rate),
    limit,
    warnings,
  };
  // Last, since somebody has to close it.
  const source =
    archive === undefined ? new StreamSource(client, manager, stream) : new ArchiveSource(config, archive, stream);
  return { ...rest, source };
}

/** @throws OuzelError NOT_FOUND, USAGE */
function warningsOf({ consumers }: Config, name: string, stream: string): string[] {
  const consumer = Object.hasOwn(consumers, name) ? consumers[name] : undefined;
  if (consumer === undefined)
    throw new OuzelError(
      'NOT_FOUND',
      `no consumer "${name}" is configured, so nobody would take the events; there are: ` +
        `${Object.keys(consumers).join(', ') || 'none'}`,
    );
  if (consumer.stream !== stream)
    throw new OuzelError('USAGE', `"${name}" takes its events from ${consumer.stream}, not from ${stream}`);
  return consumer.paused ? [`${name} is paused: it takes the events when it runs again`] : [];
}

/** What any of the consumers takes; none where one of them takes all. */
function subjectsOf({ consumers }: Config, names: readonly string[]): readonly string[] {
  const all = names.map((name) => consumers[name]?.subjects);
  const several = new Set(all.flatMap((subjects) => subjects ?? []));
  if (all.includes(undefined)) return [];
  return [...several].filter((each) => ![...several].some((other) => other !== each && covers(other, each)));
}
