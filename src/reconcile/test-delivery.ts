/** One delivery to one target alone, to see whether it works: by the code that delivers events, counted nowhere. */
import { randomInt } from 'node:crypto';
import type { LoadedConfig } from '../config/load.ts';
import { type ConsumerConfig, configSchema } from '../config/schema.ts';
import { Consumer } from '../core/consumer.ts';
import { Event } from '../core/event.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import { stringifyJson } from '../core/json.ts';
import type { Observer } from '../core/ports.ts';
import { Pauses } from '../core/pauses.ts';
import { Suspects } from '../core/suspects.ts';
import { Turns } from '../core/turns.ts';
import { Breakers } from '../deliver/breaker.ts';
import type { Files, Publisher, Requester } from '../deliver/ports.ts';
import { OuzelError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { cellsOf, decoderOf } from './build.ts';
import { compilePlan } from './compile.ts';

/** What a target reaches the outside with. */
export interface TestPorts {
  readonly publisher: Publisher;
  readonly requester: Requester;
  readonly files: Files;
  readonly logger: Logger;
}

export interface TestEvent {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly data: unknown;
  /** CloudEvents extensions. */
  readonly extensions: Readonly<Record<string, unknown>>;
  /** The stream that it is said to be in. */
  readonly stream: string;
  /** The subject that it is said to have. */
  readonly subject: string;
}

export interface TestResult {
  /** Undefined: the target has it. */
  readonly error: OuzelError | undefined;
  /** Milliseconds. */
  readonly duration: number;
}

/** The consumer that delivers; no configuration can have one of this name, since it would not be a name. */
const CONSUMER = 'ouzel.test';
/** Milliseconds between looks at whether it ran out of time. */
const SWEEP = 100;

/**
 * Delivers one event to a named target, whatever its breaker says. Nothing is tried again.
 *
 * @throws OuzelError NOT_FOUND; EVENT_FAILED when it could not even be begun
 */
export async function testDelivery(
  loaded: LoadedConfig,
  target: string,
  event: TestEvent,
  ports: TestPorts,
): Promise<TestResult> {
  if (!Object.hasOwn(loaded.config.targets, target))
    throw new OuzelError('NOT_FOUND', `there is no target "${target}"`);
  const metrics = createMetrics();
  // What is tested is the target: the event comes to it as it is.
  const config = { ...loaded.config, types: {}, consumers: { [CONSUMER]: consumerOf(event.stream, target) } };
  const plan = compilePlan({
    name: CONSUMER,
    config,
    revision: '',
    metrics,
    publisher: ports.publisher,
    requester: ports.requester,
    files: ports.files,
    logger: ports.logger,
    breakers: new Breakers({ changed: () => undefined }),
    plugins: loaded.plugins,
    tables: loaded.tables,
    folderOf: loaded.folderOf,
    admission: undefined,
  });
  const { promise, resolve } = Promise.withResolvers<OuzelError | undefined>();
  const consumer = new Consumer(CONSUMER, plan, {
    acks: { ack: () => undefined, nak: () => undefined, working: () => true },
    letters: { store: (_run, _failure, _reason, done) => done(), remove: (_sequence, done) => done() },
    attempts: { get: (_run, done) => done(undefined), put: (_run, _record, done) => done(), remove: () => undefined },
    parking: { park: (_run, _record, _at, done) => done() },
    suspects: new Suspects(),
    pauses: new Pauses(),
    observer: observerOf(resolve),
    turns: new Turns(),
    cells: cellsOf(CONSUMER, metrics),
  });
  const sweep = setInterval(() => consumer.sweep(performance.now()), SWEEP);
  const began = performance.now();
  try {
    consumer.receive(messageOf(event, decoderOf(config, event.stream)));
    const error = await promise;
    return { error, duration: performance.now() - began };
  } finally {
    clearInterval(sweep);
    plan.close();
  }
}

function consumerOf(stream: string, target: string): ConsumerConfig {
  const { test } = configSchema.shape.consumers.parse({ test: { stream, deliver: [{ to: target }] } });
  if (test === undefined) throw new OuzelError('INTERNAL', 'the consumer of a test delivery is none');
  return test;
}

function observerOf(ended: (error: OuzelError | undefined) => void): Observer {
  return {
    settled: () => ended(undefined),
    retried: (_run, { error }) => ended(error),
    deadLettered: (_run, { error }) => ended(error),
    refused: () => undefined,
  };
}

/** The event as a message of its stream. */
function messageOf({ stream, subject, data, extensions, ...event }: TestEvent, decode: ReturnType<typeof decoderOf>) {
  const now = Date.now();
  const envelope = { ...extensions, specversion: '1.0', time: new Date(now).toISOString(), ...event, data };
  const headers = headerBlock(headerLine('Content-Type', 'application/cloudevents+json'));
  const encoder = new TextEncoder();
  return new Event(
    {
      subject,
      reply: new Uint8Array(0),
      headers: encoder.encode(headers),
      body: encoder.encode(stringifyJson(envelope)),
    },
    // Its ids are its own: it is never taken for another event.
    { sequence: 1, deliveries: 1, milliseconds: now, nanoseconds: randomInt(1_000_000) },
    stream,
    decode,
  );
}
