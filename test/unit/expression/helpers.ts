/** A scope with an event, and expressions evaluated in it. */

import { parseExpression, toJson } from '../../../src/expression/index.ts';
import { isFault } from '../../../src/expression/index.ts';
import type { ErrorView, EventView, Evaluate, Fault, Scope, ScopeKind } from '../../../src/expression/index.ts';

/** A scope whose event has this data. */
export function scopeOf(data: unknown, event: Partial<EventView> = {}, error?: ErrorView): Scope {
  const headers: Readonly<Record<string, string>> = { 'X-Foo': 'bar', 'Nats-Msg-Id': 'm-1' };
  return {
    event: {
      specversion: '1.0',
      id: 'e-1',
      source: 'shop',
      type: 'orders.created',
      time: '2026-03-29T00:30:15.250Z',
      subject: undefined,
      datacontenttype: 'application/json',
      dataschema: undefined,
      extensions: { region: 'eu' },
      data,
      ...event,
    },
    msg: {
      subject: 'events.orders.created',
      stream: 'EVENTS',
      sequence: 42,
      attempt: 1,
      run: 'first',
      replay: false,
      header: (name) => Object.entries(headers).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1],
      headers: () => headers,
    },
    now: Date.parse('2026-03-29T12:00:00Z'),
    ...(error ? { error } : {}),
  };
}

interface Options {
  readonly data?: unknown;
  readonly event?: Partial<EventView>;
  readonly error?: ErrorView;
  readonly filters?: ReadonlyMap<string, Evaluate>;
}

/** The answer of an expression: a value or a Fault. */
export function evaluate(source: string, { data = {}, event, error, filters = new Map() }: Options = {}): unknown {
  const kind: ScopeKind = error ? 'error' : 'event';
  return parseExpression(source, kind).bind(filters)(scopeOf(data, event, error));
}

/** The answer as JSON. */
export const json = (source: string, options?: Options): unknown => toJson(evaluate(source, options));

/** The Fault that an expression answers. */
export function fault(source: string, options?: Options): Fault {
  const answer = evaluate(source, options);
  if (isFault(answer)) return answer;
  throw new Error(`${source} has the value ${String(toJson(answer))}`);
}
