/** Mends the data of dead letters before they are re-driven, in the words of the transformer `set`. */
import type { Config } from '../config/schema.ts';
import { structuredEvent } from '../contracts/encode.ts';
import type { Event } from '../core/event.ts';
import { parseJson, stringifyJson } from '../core/json.ts';
import { OuzelError } from '../errors.ts';
import { type Change, changesBetween, stateOf } from '../explain/changes.ts';
import { ExpressionError } from '../expression/index.ts';
import { compileSet, set } from '../pipeline/transformers/set.ts';
import { bindFilters } from '../reconcile/filters.ts';
import { caretUnder } from '../reconcile/condition.ts';
import { eventOfLetter, scopeOf } from './event.ts';
import type { DeadLetter } from './read.ts';

/** Path → expression, as `set` has them. */
export type MendFields = Readonly<Record<string, unknown>>;

export interface Mended {
  readonly body: Uint8Array;
  readonly changes: readonly Change[];
}

/** @throws OuzelError EVENT_UNDECODABLE, EVENT_EXPRESSION, EVENT_MISSING_FIELD: this letter cannot be mended so */
export type Mend = (letter: DeadLetter) => Mended;

interface Issue {
  readonly message: string;
  readonly path: readonly PropertyKey[];
  readonly input?: unknown;
  readonly params?: { readonly offset?: number; readonly hint?: string };
  /** What is wrong with a key of a mapping. */
  readonly issues?: readonly { readonly message: string }[];
}

function problem(field: string, { message, input, params, issues: [inner] = [] }: Issue): OuzelError {
  const { offset, hint } = params ?? {};
  const shown = typeof input === 'string' && offset !== undefined ? caretUnder(input, offset, hint) : '';
  return new OuzelError('USAGE', `--set ${field}: ${inner?.message ?? message}${shown}`);
}

/**
 * Compiles what mends the data of a letter, which must be complete. Only the data can be mended: an event keeps its
 * attributes, by which its deliveries are told apart.
 *
 * @throws OuzelError USAGE
 */
export function compileMend(fields: MendFields, config: Config): Mend {
  const parsed = set.options.safeParse(fields, { reportInput: true });
  const issue = parsed.error?.issues[0] as Issue | undefined;
  if (issue !== undefined) throw problem(String(issue.path[0] ?? Object.keys(fields)[0] ?? ''), issue);
  const other = Object.keys(fields).find((path) => !/^data(?:$|[.[])/.test(path));
  if (other !== undefined)
    throw new OuzelError('USAGE', `--set ${other}: only the data can be mended; write data.${other}, if that is meant`);
  const filters = bindFilters(config);
  const bind: Parameters<typeof compileSet>[1]['bind'] = (expression) => {
    try {
      return expression.bind(filters);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      const { message, offset, hint } = error;
      throw new OuzelError('USAGE', `--set: ${message}${caretUnder(expression.source, offset, hint)}`);
    }
  };
  const write = compileSet(parsed.data ?? {}, { bind, missing: () => undefined });
  return (letter) => {
    const event = eventOfLetter(letter, config);
    const before = stateOf(event);
    write(scopeOf(event), event);
    const body = bodyOf(event);
    const after = stateOf(event);
    return { body, changes: before === undefined || after === undefined ? [] : changesBetween(before, after) };
  };
}

const bytesOf = (value: string | Uint8Array): Uint8Array =>
  typeof value === 'string' ? new TextEncoder().encode(value) : value;

/** The bytes of a message with the mended data, in the form in which it came. */
function bodyOf(event: Event): Uint8Array {
  if (event.contents.bodyIsData) return bytesOf(event.body());
  const envelope = parseJson(Buffer.from(event.carrier.body).toString()) as Record<string, unknown>;
  const { data: _data, data_base64: _base64, ...attributes } = envelope;
  const { data, data_base64: encoded } = structuredEvent(event);
  return bytesOf(stringifyJson({ ...attributes, ...(encoded === undefined ? { data } : { data_base64: encoded }) }));
}
