/**
 * The daemon's side of an isolated plugin: one thread for one place of one consumer. Calls go out while there is room,
 * and each answers once. When the thread has to be ended, the call that held it pays with an attempt; what was under way
 * beside it begins again in the next thread, and where nobody can tell which call it was, they begin again one by one.
 */
import type { Worker } from 'node:worker_threads';
import { OuzelError } from '../../errors.ts';
import type { PluginLog } from '../define.ts';
import { failureFrom, type PluginPlace, revived, thrown, UnavailableError } from '../errors.ts';
import type { PluginState, StateEntry } from '../state.ts';
import { strayInThread } from '../stray.ts';
import type { IsolatedCode } from './look.ts';
import { type CallDetails, type Edit, type FromThread, MARK, type StateOperation, type ToThread } from './protocol.ts';
import { startThread, type ThreadEnd } from './start.ts';

/** Why a thread was ended, or ended itself, as metrics show it. */
export type EndReason = 'deadline' | 'memory' | 'exit' | 'start';

export interface HostOptions {
  readonly plugin: string;
  readonly consumer: string;
  readonly code: IsolatedCode;
  readonly where: PluginPlace;
  readonly options: unknown;
  readonly allowPrivate: boolean;
  /** Milliseconds that it may hold its thread without a turn of the event loop. */
  readonly deadline: number;
  /** Bytes. */
  readonly memory: number;
  readonly state: PluginState;
  readonly log: PluginLog;
  /** Threads that there are: one more, or one less. */
  readonly count: (difference: 1 | -1) => void;
  readonly onEnded: (reason: EndReason) => void;
}

/** One event for the plugin. Hears of it once, unless it is over before. */
export interface HostCall {
  /** Put together when it is its turn. @throws OuzelError EVENT_UNDECODABLE */
  details(): CallDetails;
  /** Whether nobody waits for it any more. */
  isOver(): boolean;
  readonly signal: AbortSignal;
  answered(passes: boolean, edits: readonly Edit[]): void;
  failed(error: OuzelError): void;
}

/** Calls in a thread at once: what has to begin again when it ends. */
const WINDOW = 100;
/** Milliseconds between looks at a thread, at most. */
const LOOK = 250;
/** Looks within a deadline, at least. */
const LOOKS = 4;
/** Milliseconds that a thread may take to start and set up. */
const START = 30_000;
/** Milliseconds before a thread that ended at its start is started again: the first time, and at most. */
const AGAIN_FIRST = 1_000;
const AGAIN_MAX = 30_000;
/** Milliseconds that a plugin has to clear up. */
const CLOSE = 1_000;

export class IsolatedHost {
  readonly #options: HostOptions;
  readonly #marks = new Int32Array(new SharedArrayBuffer(8));
  readonly #queue: HostCall[] = [];
  /** Under way when a thread ended and nobody could tell who ended it. They go alone. */
  readonly #suspects: HostCall[] = [];
  readonly #inFlight = new Map<number, HostCall>();
  readonly #ready = Promise.withResolvers<void>();
  #worker: Worker | undefined;
  #isReady = false;
  #alone = false;
  #lastCall = 0;
  #looking: NodeJS.Timeout | undefined;
  /** Looks since the thread was last heard of. */
  #silent = 0;
  #killed: { readonly reason: EndReason; readonly text: string } | undefined;
  #failures = 0;
  #notBefore = 0;
  #trouble = '';
  #closed = false;

  constructor(options: HostOptions) {
    this.#options = options;
    // Whoever asks hears of it; a plan that is thrown away asks nobody.
    this.#ready.promise.catch(() => undefined);
    this.#start();
  }

  /** Resolves when the plugin is set up. @throws OuzelError PLUGIN_FAILED when it cannot be */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  call(call: HostCall): void {
    if (this.#closed) return this.#unavailable(call, 'it is not used any more');
    if (this.#worker === undefined && performance.now() < this.#notBefore)
      return this.#unavailable(call, this.#trouble);
    this.#queue.push(call);
    if (this.#worker === undefined) this.#start();
    else this.#pump();
  }

  /** Lets the plugin clear up, and ends its thread. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#tell({ type: 'close' });
    setTimeout(() => end(worker), CLOSE).unref();
  }

  #start(): void {
    const { plugin, consumer, options, allowPrivate, memory, code } = this.#options;
    this.#marks.fill(0);
    this.#isReady = false;
    this.#silent = 0;
    this.#killed = undefined;
    const { file, folder, sources } = code;
    const work = { kind: 'service', options, consumer, allowPrivate, memory, marks: this.#marks.buffer } as const;
    const worker = startThread({ plugin, file, folder, sources, work }, memory, {
      heard: (message) => this.#heard(message),
      ended: (why) => this.#ended(why),
    });
    this.#worker = worker;
    this.#options.count(1);
    const looks = Math.max(LOOKS, Math.ceil(this.#options.deadline / LOOK));
    const every = this.#options.deadline / looks;
    this.#looking = setInterval(() => this.#look(worker, looks, Math.ceil(START / every)), every).unref();
  }

  #tell(message: ToThread): void {
    this.#worker?.postMessage(message);
  }

  #heard(message: FromThread): void {
    this.#silent = 0;
    switch (message.type) {
      case 'answered':
        return this.#end(message.call, (call) => call.answered(message.passes, message.edits));
      case 'threw':
        return this.#end(message.call, (call) => call.failed(this.#failure(message.thrown)));
      case 'signal':
        return this.#watch(message.call);
      case 'log':
        return this.#options.log[message.level](message.message, message.fields);
      case 'stray':
        return strayInThread(message.stray);
      case 'state':
        return void this.#answer(message.ask, message.operation);
      case 'ready':
        return this.#begin();
      case 'refused':
      case 'unloadable':
        return this.#kill('start', message.type === 'refused' ? message.message : message.failure.message);
      case 'closed':
        if (this.#worker !== undefined) end(this.#worker);
        return;
      // That it was heard is all that it says; and nobody looks here.
      case 'pong':
      case 'seen':
    }
  }

  #begin(): void {
    this.#isReady = true;
    this.#worker?.unref();
    this.#ready.resolve();
    this.#pump();
  }

  #failure(what: Parameters<typeof failureFrom>[0]): OuzelError {
    return failureFrom(what, this.#options.plugin, this.#options.where, revived(what));
  }

  #unavailable(call: HostCall, why: string): void {
    call.failed(this.#failure(thrown(new UnavailableError(why))));
  }

  /** Sends what there is room for. */
  #pump(): void {
    while (this.#isReady && this.#inFlight.size < WINDOW && !this.#alone) {
      const suspect = this.#suspects.length > 0;
      // Before the first of them goes, what else is under way has to have ended.
      if (suspect && this.#inFlight.size > 0) return;
      const call = (suspect ? this.#suspects : this.#queue).shift();
      if (call === undefined) return;
      if (call.isOver()) continue;
      this.#send(call, suspect);
    }
  }

  #send(call: HostCall, alone: boolean): void {
    this.#lastCall = (this.#lastCall + 1) | 0 || 1;
    try {
      this.#tell({ type: 'call', call: this.#lastCall, ...call.details() });
    } catch (error) {
      return call.failed(this.#failure(thrown(error)));
    }
    this.#alone = alone;
    // What waits for an answer keeps the process running; the thread alone does not.
    if (this.#inFlight.size === 0) this.#worker?.ref();
    this.#inFlight.set(this.#lastCall, call);
  }

  #end(number: number, hear: (call: HostCall) => void): void {
    const call = this.#inFlight.get(number);
    if (call === undefined) return;
    this.#inFlight.delete(number);
    this.#alone = false;
    this.#failures = 0;
    hear(call);
    this.#pump();
    if (this.#inFlight.size === 0) this.#worker?.unref();
  }

  #watch(number: number): void {
    const call = this.#inFlight.get(number);
    if (call === undefined) return this.#tell({ type: 'abort', call: number, message: 'the attempt has ended' });
    const { signal } = call;
    const ended = (): void => this.#giveUp(number, String((signal.reason as Error | undefined)?.message ?? 'ended'));
    if (signal.aborted) return ended();
    signal.addEventListener('abort', ended, { once: true });
  }

  /** Nobody waits for a call any more. It may go on in the thread; its answer is not listened to. */
  #giveUp(number: number, message: string): void {
    this.#tell({ type: 'abort', call: number, message });
    this.#end(number, () => undefined);
  }

  /** Looks whether the thread still turns, and how much it needs. */
  #look(worker: Worker, looks: number, looksToStart: number): void {
    // Counted in looks, not in time: while the daemon itself is held up, nothing can be heard.
    this.#silent++;
    if (!this.#isReady) {
      if (this.#silent > looksToStart) this.#kill('start', `it was not set up within ${START / 1000} s`);
      return;
    }
    for (const [number, call] of this.#inFlight) if (call.isOver()) this.#giveUp(number, 'the attempt has ended');
    const { deadline, memory } = this.#options;
    if (this.#silent > looks) return this.#kill('deadline', `it held its thread for more than ${deadline} ms`);
    if (this.#silent === 1) this.#tell({ type: 'ping' });
    // Node 22 cannot tell; the heap has its bound there too, and the thread weighs its buffers after each call.
    worker.getHeapStatistics?.().then(
      ({ used_heap_size: heap, external_memory: buffers }) => {
        if (heap + buffers <= memory || worker !== this.#worker) return;
        this.#kill('memory', `it needed more than ${Math.floor(memory / 1_048_576)} MiB of memory`);
      },
      () => undefined,
    );
  }

  #kill(reason: EndReason, text: string): void {
    if (this.#worker === undefined || this.#killed !== undefined) return;
    this.#killed = { reason, text };
    end(this.#worker);
  }

  /** The thread is gone. */
  #ended(why: ThreadEnd): void {
    clearInterval(this.#looking);
    this.#worker = undefined;
    this.#options.count(-1);
    const wasReady = this.#isReady;
    this.#isReady = false;
    this.#alone = false;
    if (this.#closed) return this.#leave();
    const reason = this.#killed?.reason ?? (why.reason === 'error' ? 'exit' : why.reason);
    const text = this.#killed?.text ?? why.text;
    const underWay = [...this.#inFlight];
    this.#inFlight.clear();
    const guilty = this.#guilty(underWay, reason);
    const began = wasReady && underWay.some(([number]) => this.#began(number));
    this.#options.onEnded(wasReady ? reason : 'start');
    this.#options.log.warn(`the thread of an isolated plugin ended: ${text}`, { reason, in_flight: underWay.length });
    for (const [number, call] of underWay.toReversed())
      if (number !== guilty) (guilty === undefined && this.#began(number) ? this.#suspects : this.#queue).unshift(call);
    underWay
      .find(([number]) => number === guilty)?.[1]
      .failed(new OuzelError('PLUGIN_ENDED', `plugin ${this.#options.plugin}: ${text}`));
    if (!began) return this.#waitBeforeStart(text);
    if (this.#queue.length + this.#suspects.length > 0 && this.#worker === undefined) this.#start();
  }

  #began = (number: number): boolean => ((number - Atomics.load(this.#marks, MARK.begun)) | 0) <= 0;

  /**
   * The call that held the thread, or the only one that it can have been; undefined where nobody can tell. Memory may be
   * another's than whose turn it is when there is no more.
   */
  #guilty(underWay: readonly (readonly [number, HostCall])[], reason: EndReason): number | undefined {
    const holding = Atomics.load(this.#marks, MARK.holding);
    if (holding !== 0 && reason !== 'memory') return holding;
    const begun = underWay.filter(([number]) => this.#began(number));
    return begun.length === 1 ? begun[0]?.[0] : undefined;
  }

  /** It ended without having worked on anything: at once it would do so again. */
  #waitBeforeStart(why: string): void {
    const wait = Math.min(AGAIN_MAX, AGAIN_FIRST * 2 ** this.#failures++);
    this.#notBefore = performance.now() + wait;
    this.#trouble = `its thread cannot be used: ${why}`;
    this.#ready.reject(new OuzelError('PLUGIN_FAILED', `plugin ${this.#options.plugin} cannot be set up: ${why}`));
    this.#leave();
  }

  /** Whoever still waits is told that nobody is there. */
  #leave(): void {
    const waiting = [...this.#inFlight.values(), ...this.#suspects.splice(0), ...this.#queue.splice(0)];
    this.#inFlight.clear();
    for (const call of waiting) this.#unavailable(call, this.#trouble || 'it is not used any more');
  }

  async #answer(ask: number, operation: StateOperation): Promise<void> {
    try {
      this.#tell({ type: 'state', ask, answer: await perform(this.#options.state, operation) });
    } catch (error) {
      this.#tell({ type: 'state', ask, thrown: thrown(error) });
    }
  }
}

const end = (worker: Worker): void => void worker.terminate().catch(() => undefined);

/** @returns An entry, a revision, or nothing. */
async function perform(state: PluginState, operation: StateOperation): Promise<StateEntry | number | undefined> {
  switch (operation.do) {
    case 'get':
      return state.get(operation.key);
    case 'put':
      return state.put(operation.key, operation.value, operation.options);
    case 'update':
      return state.update(operation.key, operation.value, operation.revision, operation.options);
    case 'delete':
      await state.delete(operation.key);
      return undefined;
  }
}
