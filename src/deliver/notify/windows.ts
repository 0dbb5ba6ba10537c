/**
 * Messages without a flood: the first of its kind is sent at once, those like it within a window are held back, and when
 * the window ends one message says how many there were. The first few that are held back wait in hand, and are
 * confirmed by that message; the others are confirmed when they are counted, which is done once one like them was sent.
 */
import { OuzelError } from '../../errors.ts';
import type { Delivery } from '../delivery.ts';
import type { Note } from './service.ts';
import { cut } from './text.ts';

export interface WindowOptions {
  /** Milliseconds. */
  readonly within: number;
  /** How many of those held back are shown. */
  readonly show: number;
  /** Whether those that are shown count as told, so that only the others are "more". */
  readonly lists: boolean;
}

export interface WindowPorts {
  readonly send: (note: Note, signal: AbortSignal) => Promise<void>;
  /** A note in one line. */
  readonly excerpt: (note: Note) => string;
  readonly log: (fields: Readonly<Record<string, unknown>>, message: string) => void;
}

interface Held {
  readonly delivery: Delivery;
  readonly note: Note;
}

interface Window {
  readonly key: string;
  /**
   * sending: a message is on its way, and decides over what comes meanwhile. open: what comes is held back. owing:
   * what was counted could not be told; the next one of its kind is sent at once, and says so too.
   */
  state: 'sending' | 'open' | 'owing';
  /** The message that the others are like. */
  like: Note;
  /** Milliseconds of the monotonic clock since when those held back are counted. */
  since: number;
  /** Came while a message was on its way. */
  queue: Held[];
  /** Wait in hand. */
  held: Held[];
  /** Confirmed already, and told nobody. */
  counted: number;
  /** The first few of those, in a line each. */
  lines: string[];
  timer: NodeJS.Timeout | undefined;
}

/** Kinds that are told apart at a time; beyond it, they are all one. */
const MOST_KEYS = 1000;
/** All kinds beyond them. */
const OTHERS = '';
/** Share of the events that a consumer may have in hand. */
const HOLDING_SHARE = 0.25;
/** Characters of a message that is shown among others. */
const LONGEST_LINE = 300;
/** Half of an escape at the end. */
const TORN = /(?:&[a-z]{0,5}|\\)$/;

/** The first line of a text, in bounds. */
export const firstLine = (text: string): string => cut(text.split('\n', 1)[0] ?? '', LONGEST_LINE, TORN);

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** `15 minutes`, `1 hour`: in the largest unit of which there are at least two, or exactly one. */
export function inWords(milliseconds: number): string {
  const rounded = Math.max(SECOND, Math.round(milliseconds / SECOND) * SECOND);
  const unit = [HOUR, MINUTE].find((each) => rounded === each || rounded >= 2 * each) ?? SECOND;
  const count = Math.round(rounded / unit);
  const name = { [HOUR]: 'hour', [MINUTE]: 'minute', [SECOND]: 'second' }[unit];
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}

const moreOf = (count: number, since: number): string | undefined =>
  count === 0 ? undefined : `and ${count} more in ${inWords(performance.now() - since)}`;

/** Nobody ends a message that stands for many. */
const NEVER = new AbortController().signal;

export class Windows {
  readonly #options: WindowOptions;
  readonly #ports: WindowPorts;
  readonly #windows = new Map<string, Window>();
  #holding = 0;

  constructor(options: WindowOptions, ports: WindowPorts) {
    this.#options = options;
    this.#ports = ports;
  }

  /** @param kind What makes messages alike. */
  deliver(delivery: Delivery, note: Note, kind: string): void {
    const key = this.#windows.has(`=${kind}`) || this.#windows.size < MOST_KEYS ? `=${kind}` : OTHERS;
    const window = this.#windows.get(key);
    if (window === undefined) return this.#first(this.#open(key, note), { delivery, note });
    if (window.state === 'owing') return this.#first(window, { delivery, note });
    if (window.state === 'sending') window.queue.push({ delivery, note });
    else this.#holdBack(window, { delivery, note });
  }

  /** Tells at once what was counted. Resolves when that was tried. */
  async close(): Promise<void> {
    const owed = [...this.#windows.values()];
    for (const { timer } of owed) clearTimeout(timer);
    this.#windows.clear();
    await Promise.all(
      owed.filter(({ counted, state }) => counted > 0 && state !== 'sending').map((window) => this.#tell(window, [])),
    );
  }

  #open(key: string, like: Note): Window {
    const since = performance.now();
    const window: Window = {
      key,
      state: 'sending',
      like,
      since,
      queue: [],
      held: [],
      counted: 0,
      lines: [],
      timer: undefined,
    };
    this.#windows.set(key, window);
    return window;
  }

  #first(window: Window, { delivery, note }: Held): void {
    const { counted } = window;
    window.state = 'sending';
    window.like = note;
    this.#ports.send({ ...note, tail: moreOf(counted, window.since) }, delivery.signal).then(
      () => {
        window.counted -= counted;
        this.#told(window);
        delivery.confirm();
        this.#holdBackQueue(window);
      },
      (error: unknown) => {
        delivery.fail(error);
        this.#untold(window, error);
      },
    );
  }

  /** A message got out: a window begins. */
  #told(window: Window): void {
    window.state = 'open';
    window.since = performance.now();
    window.lines = [];
    this.#arm(window);
  }

  /** A message did not get out: what waited for that is told why, or has its own try. */
  #untold(window: Window, error: unknown): void {
    const unavailable = error instanceof OuzelError && error.kind === 'unavailable';
    const queue = stillOpen(window.queue);
    window.queue = [];
    if (unavailable) for (const { delivery } of queue) delivery.fail(error);
    const next = unavailable ? undefined : queue.shift();
    if (next !== undefined) {
      window.queue = queue;
      return this.#first(window, next);
    }
    if (window.counted === 0) return this.#forget(window);
    window.state = 'owing';
    this.#arm(window);
  }

  #forget(window: Window): void {
    clearTimeout(window.timer);
    if (this.#windows.get(window.key) === window) this.#windows.delete(window.key);
  }

  #arm(window: Window): void {
    clearTimeout(window.timer);
    if (this.#windows.get(window.key) !== window) return;
    window.timer = setTimeout(() => void this.#end(window), this.#options.within);
    window.timer.unref();
  }

  #holdBackQueue(window: Window): void {
    const queue = stillOpen(window.queue);
    window.queue = [];
    for (const each of queue) this.#holdBack(window, each);
  }

  #holdBack(window: Window, held: Held): void {
    const { show } = this.#options;
    const { delivery, note } = held;
    if (window.held.length < show && delivery.mayWait && this.#holding < mostHeld(delivery)) {
      this.#holding++;
      window.held.push(held);
      return delivery.putOff();
    }
    const line = this.#ports.excerpt(note);
    if (window.lines.length < show && !window.lines.includes(line)) window.lines.push(line);
    window.counted++;
    delivery.confirm();
  }

  /** The window is over: what was held back is told, and another window begins; or nothing was, and it is forgotten. */
  async #end(window: Window): Promise<void> {
    this.#holding -= window.held.length;
    const held = stillOpen(window.held).filter(({ delivery }) => delivery.goOn());
    window.held = [];
    if (held.length + window.counted === 0) return this.#forget(window);
    window.state = 'sending';
    await this.#tell(window, held);
  }

  async #tell(window: Window, held: readonly Held[]): Promise<void> {
    const { counted } = window;
    try {
      await this.#ports.send(this.#summary(window, held), NEVER);
    } catch (error) {
      if (counted > 0) this.#ports.log({ held_back: counted }, 'held-back messages could not be told of');
      for (const { delivery } of held) delivery.fail(error);
      return this.#untold(window, error);
    }
    window.counted -= counted;
    this.#told(window);
    for (const { delivery } of held) delivery.confirm();
    this.#holdBackQueue(window);
  }

  #summary({ like, lines, counted, since }: Window, held: readonly Held[]): Note {
    const { lists, show } = this.#options;
    const count = counted + held.length;
    const waited = held.map(({ note }) => this.#ports.excerpt(note));
    const shown = [...new Set([...waited, ...lines])].slice(0, show);
    return {
      ...like,
      id: `${held[0]?.note.id ?? like.id}.${count}`,
      ...(lists ? { title: undefined } : {}),
      text: shown.join('\n'),
      tail: moreOf(lists ? Math.max(0, count - shown.length) : count, since),
    };
  }
}

/** Neither given back nor lost meanwhile. */
const stillOpen = (held: readonly Held[]): Held[] =>
  held.filter(({ delivery }) => delivery.state === 'open' && !delivery.run.decided);

const mostHeld = ({ run }: Delivery): number => run.consumer.limits.prefetch * HOLDING_SHARE;
