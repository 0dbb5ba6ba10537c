/** Tells whoever posts an event at once what a consumer would find: its version is not known, or its data does not fit. */
import type { LoadedConfig } from '../config/load.ts';
import { InvalidEvent } from '../contracts/cloudevents-http.ts';
import { messageView } from '../contracts/decode.ts';
import type { Posted } from '../contracts/post.ts';
import { Event } from '../core/event.ts';
import type { Step } from '../core/plan.ts';
import type { Run } from '../core/run.ts';
import { covers } from '../core/subjects.ts';
import { Cell } from '../telemetry/cells.ts';
import { decoderOf } from './build.ts';
import { bindFilters } from './filters.ts';
import { typeSteps } from './types.ts';

/**
 * Looks at a message that is about to be published.
 *
 * @param at JSON pointer to the data in what was posted.
 * @throws InvalidEvent; OuzelError EVENT_VERSION, or what an upcast fails with (EVENT_*)
 */
export type PostedCheck = (posted: Posted, at: string) => void;

type Known = Pick<LoadedConfig, 'config' | 'schemas'>;

/** Compiled once a configuration. */
const checks = new WeakMap<object, PostedCheck>();

/** What looks at the messages that are posted while a configuration is in force. */
export function postedCheckOf(loaded: Known): PostedCheck {
  const known = checks.get(loaded.config) ?? compile(loaded);
  checks.set(loaded.config, known);
  return known;
}

function compile({ config, schemas }: Known): PostedCheck {
  const types = Object.entries(config.types);
  if (types.length === 0) return () => undefined;
  const filters = bindFilters(config);
  const steps = typeSteps(types, {
    schemas,
    bind: (expression) => expression.bind(filters),
    missing: () => undefined,
    count: () => new Cell(),
    invalid: (_type, problems) =>
      new InvalidEvent(problems.map(({ pointer, message }) => ({ pointer, detail: message }))),
  }).map(({ step }) => step);
  return (posted, at) => {
    const stream = Object.entries(config.streams).find(([, { subjects }]) =>
      subjects.some((pattern) => covers(pattern, posted.subject)),
    );
    const event = eventOf(posted, stream?.[0] ?? '', config);
    try {
      check(event, steps);
    } catch (error) {
      if (!(error instanceof InvalidEvent)) throw error;
      const problems = error.problems.map(({ pointer = '', detail }) => ({ pointer: at + pointer, detail }));
      throw new InvalidEvent(problems, `the data does not fit the schema of ${event.type}`);
    }
  };
}

function check(event: Event, steps: readonly Step[]): void {
  // All that these steps look at of a run.
  const run = { event, msg: messageView(event), now: Date.now() } as Run;
  for (const step of steps) step.run(run);
}

function eventOf({ subject, headers, body }: Posted, stream: string, config: LoadedConfig['config']): Event {
  const carrier = { subject, reply: new Uint8Array(), headers: Buffer.from(headers), body: Buffer.from(body) };
  const position = { sequence: 0, deliveries: 1, milliseconds: Date.now(), nanoseconds: 0 };
  return new Event(carrier, position, stream, decoderOf(config, stream));
}
