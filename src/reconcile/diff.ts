/** What differs between the consumers that run and those that are configured. Pure: it looks at names and hashes. */

/** A consumer as far as it is compared. */
export interface Comparable {
  readonly revision: string;
  readonly stream: string;
  /** How its instances share its events, and in which order: what cannot change while it runs. */
  readonly mode: string;
}

export interface ConsumerDiff {
  readonly added: readonly string[];
  /** Changed in place: the pull goes on. */
  readonly updated: readonly string[];
  /** On another stream, or shared otherwise: it drains as it was, and begins anew. */
  readonly moved: readonly string[];
  readonly removed: readonly string[];
}

export function diffConsumers(
  running: ReadonlyMap<string, Comparable>,
  wanted: ReadonlyMap<string, Comparable>,
): ConsumerDiff {
  const diff = { added: [] as string[], updated: [] as string[], moved: [] as string[], removed: [] as string[] };
  for (const [name, { revision, stream, mode }] of wanted) {
    const now = running.get(name);
    if (now === undefined) diff.added.push(name);
    else if (now.stream !== stream || now.mode !== mode) diff.moved.push(name);
    else if (now.revision !== revision) diff.updated.push(name);
  }
  for (const name of running.keys()) if (!wanted.has(name)) diff.removed.push(name);
  return diff;
}

/** Whether nothing differs. */
export const isEmpty = ({ added, updated, moved, removed }: ConsumerDiff): boolean =>
  added.length + updated.length + moved.length + removed.length === 0;

type Source = Readonly<Record<string, unknown>>;

const at = (source: Source, [section, key]: readonly [string, string?]): string => {
  const value = source[section];
  const part = key === undefined ? value : (value as Source | undefined)?.[key];
  return JSON.stringify(part ?? null);
};

/** What is read once, at the start. Credentials are not: those in force count at the next connect. */
const AT_START: readonly (readonly [string, string?])[] = [
  ['nats', 'servers'],
  ['nats', 'tls'],
  ['nats', 'domain'],
  ['nats', 'system'],
  ['http', 'listen'],
  ['http', 'tls'],
  ['http', 'ingress'],
  ['http', 'ingress_tls'],
  ['telemetry', 'traces'],
];

/** Keys that changed and take effect only at the next start. */
export const needRestart = (running: Source, wanted: Source): string[] =>
  AT_START.filter((path) => at(running, path) !== at(wanted, path)).map((path) => path.join('.'));
