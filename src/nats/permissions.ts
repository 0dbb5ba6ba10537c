/** What the NATS user may do: asked of the server, without doing it. */
import { type NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import { covers } from '../core/subjects.ts';

/** Something that Ouzel has to publish, and what for. */
export interface Need {
  /** May be a pattern. */
  readonly subject: string;
  readonly purpose: string;
  /**
   * Whether it can be tried without an effect: a request that the server refuses as malformed, or that nobody answers.
   */
  readonly harmless: boolean;
}

export interface PermissionReport {
  readonly missing: readonly Need[];
  /** What could not be found out. */
  readonly unknown: readonly Need[];
}

/** What no JetStream request takes as its body. */
const MALFORMED = '!';
/** Milliseconds to wait for an answer; a refusal comes at once. */
const TIMEOUT = 2_000;
/** Requests at once. */
const AT_ONCE = 50;

/** Finds out which of these the user may not publish. */
export async function checkPermissions(connection: NatsConnection, needs: readonly Need[]): Promise<PermissionReport> {
  const known = await permissionsOf(connection);
  if (known !== undefined)
    return { missing: needs.filter(({ subject }) => !allowed(known.publish ?? {}, subject)), unknown: [] };
  const missing: Need[] = [];
  const tried = needs.filter(({ harmless }) => harmless);
  for (let from = 0; from < tried.length; from += AT_ONCE)
    await Promise.all(
      tried.slice(from, from + AT_ONCE).map(async (need) => {
        if (await isRefused(connection, need.subject)) missing.push(need);
      }),
    );
  return { missing, unknown: needs.filter(({ harmless }) => !harmless) };
}

/** Patterns of subjects. Without `allow` everything is allowed that `deny` does not name. */
interface Subjects {
  readonly allow?: readonly string[] | undefined;
  readonly deny?: readonly string[] | undefined;
}

interface Permissions {
  readonly publish?: Subjects | undefined;
  readonly subscribe?: Subjects | undefined;
}

/** What the server says of the user; undefined where the user may not even ask. */
export async function permissionsOf(connection: NatsConnection): Promise<Permissions | undefined> {
  try {
    const answer = await connection.request('$SYS.REQ.USER.INFO', '', { timeout: TIMEOUT });
    const { data } = answer.json<{ data?: { permissions?: Permissions } }>();
    return data === undefined ? undefined : (data.permissions ?? {});
  } catch {
    return undefined;
  }
}

/** Whether every subject of a pattern is allowed. */
export const allowed = ({ allow, deny }: Subjects, subject: string): boolean =>
  (allow === undefined || allow.length === 0 || allow.some((each) => covers(each, subject))) &&
  !(deny ?? []).some((each) => covers(each, subject));

async function isRefused(connection: NatsConnection, subject: string): Promise<boolean> {
  try {
    await connection.request(subject, MALFORMED, { timeout: TIMEOUT });
    return false;
  } catch (error) {
    const { cause } = error as Error;
    // No answer, or nobody to answer, is no refusal.
    return error instanceof PermissionViolationError || cause instanceof PermissionViolationError;
  }
}
