/** The thread of an isolated plugin: what `host.ts` starts. Everything that runs in it is the plugin's. */
import { getHeapStatistics } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { z } from 'zod';
import { isFilter, isTransformer, type Plugin, type PluginContext, type PluginDelivery } from '../define.ts';
import { revived, thrown } from '../errors.ts';
import { EventReader, type PluginEvent } from '../event.ts';
import { guardedFetch } from '../fetch.ts';
import { importPlugin } from '../load.ts';
import type { PluginState, StateEntry } from '../state.ts';
import { filterAnswer, isPromise, transformerAnswer } from '../steps.ts';
import { runPlugin, strayTo } from '../stray.ts';
import { arrived, NotingWriter } from './crossing.ts';
import {
  type Edit,
  type FromThread,
  MARK,
  type OptionIssues,
  OUT_OF_MEMORY,
  type StateOperation,
  type ThreadStart,
  type ToThread,
} from './protocol.ts';

const start = workerData as ThreadStart;
const { plugin, file, folder, sources, work } = start;
const tell = (message: FromThread): void => parentPort?.postMessage(message);

strayTo((stray) => tell({ type: 'stray', stray: { ...stray, plugin } }));

function issuesOf(definition: Plugin, options: unknown): OptionIssues {
  try {
    const issues = definition.options.safeParse(options).error?.issues ?? [];
    // What a schema says may hold anything; what is shown of it is text.
    return JSON.parse(JSON.stringify(issues)) as readonly unknown[];
  } catch (error) {
    return thrown(error).message;
  }
}

function schemaOf({ options }: Plugin): unknown {
  try {
    return z.toJSONSchema(options, { io: 'input', unrepresentable: 'any' });
  } catch {
    return {};
  }
}

/** A call that is at work here. */
class Call implements PluginDelivery {
  readonly number: number;
  readonly attempt: number;
  readonly id: string;
  readonly route: string;
  /** One alone: what is isolated takes no batches. */
  events: readonly PluginEvent[] = [];
  readonly key = null;
  #abort: AbortController | undefined;

  constructor({ call, attempt, delivery }: Extract<ToThread, { type: 'call' }>) {
    this.number = call;
    this.attempt = attempt;
    this.id = delivery?.id ?? '';
    this.route = delivery?.route ?? '';
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      tell({ type: 'signal', call: this.number });
    }
    return this.#abort.signal;
  }

  abort(message: string): void {
    this.#abort?.abort(new DOMException(message, 'AbortError'));
  }
}

type Handle = (call: Call, event: ReturnType<typeof arrived>) => unknown;

/** Serves calls until it is closed. */
class Service {
  readonly #marks: Int32Array;
  readonly #memory: number;
  readonly #calls = new Map<number, Call>();
  readonly #asked = new Map<number, { resolve(answer: unknown): void; reject(error: unknown): void }>();
  readonly #closing = new AbortController();
  readonly #handle: Handle;
  #asks = 0;

  constructor(definition: Plugin, work: Extract<ThreadStart['work'], { kind: 'service' }>) {
    this.#marks = new Int32Array(work.marks);
    this.#memory = work.memory;
    const { signal } = this.#closing;
    const context: PluginContext<unknown> = {
      options: definition.options.parse(work.options),
      consumer: work.consumer,
      log: { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') },
      kv: this.#state(),
      fetch: guardedFetch(work.allowPrivate, signal),
      signal,
    };
    this.#handle = handleOf(definition, context);
  }

  readonly take = (message: ToThread): void => {
    switch (message.type) {
      case 'call':
        return this.#call(message);
      case 'abort':
        this.#calls.get(message.call)?.abort(message.message);
        return void this.#calls.delete(message.call);
      case 'ping':
        return tell({ type: 'pong' });
      case 'state': {
        const asked = this.#asked.get(message.ask);
        this.#asked.delete(message.ask);
        if (message.thrown === undefined) asked?.resolve(message.answer);
        else asked?.reject(revived(message.thrown));
        return;
      }
      case 'close':
        this.#closing.abort(new Error('the plugin is not used any more'));
        // What its listeners began in this turn is still done.
        return void setImmediate(() => tell({ type: 'closed' }));
    }
  };

  #call(message: Extract<ToThread, { type: 'call' }>): void {
    const call = new Call(message);
    this.#calls.set(call.number, call);
    Atomics.store(this.#marks, MARK.begun, call.number);
    Atomics.store(this.#marks, MARK.holding, call.number);
    const event = arrived(message.event);
    call.events = [new EventReader({ event })];
    const done = (answer: unknown): void => {
      if (!this.#calls.delete(call.number)) return;
      const { passes, edits } = answer as { passes: boolean; edits: readonly Edit[] };
      tell({ type: 'answered', call: call.number, passes, edits });
    };
    const failed = (error: unknown): void => {
      if (this.#calls.delete(call.number)) tell({ type: 'threw', call: call.number, thrown: thrown(error) });
    };
    try {
      const answer = runPlugin(plugin, () => this.#handle(call, event), call);
      this.#weigh();
      if (answer instanceof Promise) answer.then(done, failed);
      else done(answer);
    } catch (error) {
      this.#weigh();
      failed(error);
    } finally {
      Atomics.store(this.#marks, MARK.holding, 0);
    }
  }

  /** Buffers are not part of what V8 bounds: they are weighed here, while it is known whose they are. */
  #weigh(): void {
    if (getHeapStatistics().external_memory > this.#memory) process.exit(OUT_OF_MEMORY);
  }

  #ask<Answer>(operation: StateOperation): Promise<Answer> {
    const ask = ++this.#asks;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#asked.set(ask, { resolve, reject });
    tell({ type: 'state', ask, operation });
    return promise as Promise<Answer>;
  }

  #state(): PluginState {
    return {
      get: <Value>(key: string) => this.#ask<StateEntry<Value> | undefined>({ do: 'get', key }),
      put: (key, value, options) => this.#ask({ do: 'put', key, value, options }),
      update: (key, value, revision, options) => this.#ask({ do: 'update', key, value, revision, options }),
      delete: (key) => this.#ask({ do: 'delete', key }),
    };
  }
}

const line =
  (level: 'debug' | 'info' | 'warn' | 'error') =>
  (message: string, fields?: Readonly<Record<string, unknown>>): void => {
    const plain = fields === undefined ? undefined : (JSON.parse(JSON.stringify(fields)) as Record<string, unknown>);
    tell({ type: 'log', level, message: String(message), fields: plain });
  };

/** The plugin's function, with its answers checked as they are where it runs in the process. */
function handleOf(definition: Plugin, context: PluginContext<unknown>): Handle {
  const handler = runPlugin(plugin, () => definition.setup(context)) as unknown;
  if (typeof handler !== 'function')
    throw new TypeError('`setup` answers at once, with the function that is called for each event');
  const handle = handler as (event: unknown, call: Call) => unknown;
  const later = (answer: unknown, check: (answer: unknown) => unknown): unknown =>
    isPromise(answer) ? Promise.resolve(answer).then(check) : check(answer);
  if (isFilter(definition))
    return (call, event) =>
      later(handle(new EventReader({ event }), call), (answer) => ({
        passes: filterAnswer(plugin, answer),
        edits: [],
      }));
  if (isTransformer(definition))
    return (call, event) => {
      const writer = new NotingWriter({ event });
      return later(handle(writer, call), (answer) => {
        writer.close();
        transformerAnswer(plugin, answer);
        return { passes: true, edits: writer.edits };
      });
    };
  return (call, event) => later(handle(new EventReader({ event }), call), () => ({ passes: true, edits: [] }));
}

const imported = await importPlugin(plugin, file, folder, sources);
if (!('definition' in imported)) {
  tell({ type: 'unloadable', failure: imported.failure, files: imported.files });
} else if (work.kind === 'look') {
  const { definition, kind } = imported;
  const issues = work.options.map((options) => issuesOf(definition, options));
  tell({ type: 'seen', seen: { kind, schema: schemaOf(definition), sources: imported.sources, issues } });
} else {
  try {
    const service = new Service(imported.definition, work);
    parentPort?.on('message', service.take);
    tell({ type: 'ready' });
  } catch (error) {
    tell({ type: 'refused', message: thrown(error).message });
  }
}
