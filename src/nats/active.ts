/**
 * Which instance has the events of a consumer that runs on one instance at a time. The server knows the pin alone; the
 * instance that has it writes down its name beside what is known of the consumer's events.
 */
import type { ConsumerInfo, JetStreamManager } from '@nats-io/jetstream';
import { headerBlock } from '../core/headers.ts';
import type { Publisher } from '../deliver/ports.ts';
import { ATTEMPTS_PREFIX, ATTEMPTS_STREAM } from './attempts.ts';

/** The instance that is active. */
export interface ActiveHolder {
  readonly instance: string;
  /** When it took over; RFC 3339. */
  readonly since: string;
}

const TIMEOUT = 5_000;

const subjectOf = (consumer: string): string => `${ATTEMPTS_PREFIX}${consumer}.active`;

/** Whose pin the server knows; undefined for nobody's. */
export function pinnedId(info: ConsumerInfo): string | undefined {
  // nats.js does not know of it yet.
  const { priority_groups: groups } = info as ConsumerInfo & {
    readonly priority_groups?: readonly { readonly pinned_client_id?: string }[];
  };
  const id = groups?.[0]?.pinned_client_id;
  return id === undefined || id === '' ? undefined : id;
}

/** Writes down who has the pin. It only serves to be shown: should it not be stored, nobody is named. */
export function noteActive(publisher: Publisher, consumer: string, pin: string, holder: ActiveHolder): void {
  publisher.publish(subjectOf(consumer), headerBlock(''), JSON.stringify({ ...holder, pin }), TIMEOUT, {
    confirmed: () => undefined,
    failed: () => undefined,
  });
}

/** Who has the pin that the server knows; undefined where it is nobody, or one who did not say so. */
export async function findActive(
  manager: JetStreamManager,
  consumer: string,
  pin: string | undefined,
): Promise<ActiveHolder | undefined> {
  if (pin === undefined) return undefined;
  const stored = await manager.streams
    .getMessage(ATTEMPTS_STREAM, { last_by_subj: subjectOf(consumer) })
    .catch(() => null);
  if (stored === null) return undefined;
  const { pin: known, instance, since } = stored.json<ActiveHolder & { readonly pin: string }>();
  return known === pin ? { instance, since } : undefined;
}
