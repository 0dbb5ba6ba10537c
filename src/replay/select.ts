/** Which consumers get an event. */
import type { Config } from '../config/schema.ts';
import { messageView } from '../contracts/decode.ts';
import { typeMatcher } from '../contracts/match.ts';
import { Event } from '../core/event.ts';
import { covers } from '../core/subjects.ts';
import { decoderOf } from '../reconcile/build.ts';
import { askedCondition } from '../reconcile/condition.ts';
import { compileKeys } from '../reconcile/keys.ts';
import type { ReplayAsked } from './asked.ts';
import type { StoredEvent } from './source.ts';

/** An event that was looked at. */
export interface Selected {
  /** Those that get it; none: it is not meant. */
  readonly consumers: readonly string[];
  /** Undefined where it cannot be decoded, or nobody asked. */
  readonly type: () => string | undefined;
}

export type Selection = (stored: StoredEvent) => Selected;

const NO_REPLY = new Uint8Array(0);
const NOBODY: readonly string[] = [];

/**
 * Compiles the selectors of a replay, and what its consumers take anyway: their subjects and types. An event that
 * cannot be decoded has no type, key or data: no selector that asks for one means it, and a consumer gets it otherwise.
 *
 * @throws OuzelError USAGE
 */
export function createSelection(config: Config, { stream, to, key, type, where }: ReplayAsked): Selection {
  const decode = decoderOf(config, stream);
  const typed = type === undefined ? undefined : typeMatcher(type.split(','));
  const condition = where === undefined ? undefined : askedCondition(where, config);
  const keyOf = compileKeys(config);
  const takers = to.map((name) => {
    const { subjects, types } = config.consumers[name] ?? {};
    return { name, subjects, takes: types === undefined ? undefined : typeMatcher(types) };
  });

  const means = (event: Event): boolean => {
    try {
      if (typed !== undefined && !typed(event.type)) return false;
      if (key === undefined && condition === undefined) return true;
      const scope = { event, msg: messageView(event), now: Date.now(), stream: event.stream };
      if (key !== undefined && keyOf(scope) !== key) return false;
      return condition === undefined || condition(scope);
    } catch {
      return false;
    }
  };

  return (stored) => {
    const { subject, headers, body, position } = stored;
    const event = new Event(
      { subject, reply: NO_REPLY, headers, body },
      { ...position, deliveries: 1 },
      stored.stream,
      decode,
    );
    let known: string | undefined;
    const typeOf = (): string | undefined => {
      try {
        return (known ??= event.type);
      } catch {
        return undefined;
      }
    };
    if (!means(event)) return { consumers: NOBODY, type: typeOf };
    const consumers = takers.filter(({ subjects, takes }) => {
      if (subjects?.some((pattern) => covers(pattern, subject)) === false) return false;
      const own = takes === undefined ? undefined : typeOf();
      return takes === undefined || own === undefined || takes(own);
    });
    return { consumers: consumers.map(({ name }) => name), type: typeOf };
  };
}
