/**
 * Keeps a plugin's mistakes its own. Plugin code runs in an asynchronous context that bears its name, so that what it
 * throws where nobody can catch it (a timer, a socket, a promise that is not awaited) is laid at its door: logged and
 * counted, and the daemon goes on. What no plugin did is a fault of Ouzel, whose state nobody can vouch for any more:
 * the process ends with code 70, and the server hands its events out again.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { EXIT } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import { pluginInStack } from './hooks.ts';

interface Running {
  readonly plugin: string;
  /** The attempt that it works for; undefined in a setup. */
  readonly call: { readonly signal: AbortSignal } | undefined;
}

const running = new AsyncLocalStorage<Running>();

/** Runs code of a plugin: whatever follows from it, however late, bears the plugin's name and its attempt. */
export function runPlugin<Result>(plugin: string, code: () => Result, call?: Running['call']): Result {
  watch();
  return running.run({ plugin, call }, code);
}

/** The signal of the attempt that the code which asks works for. */
export const callSignal = (): AbortSignal | undefined => running.getStore()?.call?.signal;

export interface Stray {
  /** Undefined where it was no plugin's doing. */
  readonly plugin: string | undefined;
  readonly kind: 'uncaught exception' | 'unhandled rejection';
  readonly message: string;
  readonly stack: string | undefined;
}

/** While there is no daemon (`ouzel validate`, and before the log is open). */
const toStandardError = ({ plugin, kind, message, stack }: Stray): void => {
  process.stderr.write(
    plugin === undefined ? `${kind}: ${stack ?? message}\n` : `plugin ${plugin}: ${kind}: ${message}\n`,
  );
};

let report: (stray: Stray) => void = toStandardError;

/** In the thread of an isolated plugin, all that nobody caught goes to whoever started it. */
export function strayTo(listener: (stray: Stray) => void): void {
  watch();
  report = listener;
  exit = () => undefined;
}

/** Takes what nobody caught in the thread of an isolated plugin: all of it is the plugin's. */
export const strayInThread = (stray: Stray): void => report(stray);

let exit: (code: number) => void = (code) => process.exit(code);
let watching = false;

function watch(): void {
  if (watching) return;
  watching = true;
  const on =
    (kind: Stray['kind']) =>
    (error: unknown): void => {
      const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
      const plugin = running.getStore()?.plugin ?? pluginInStack(stack ?? '');
      report({ plugin, kind, message, stack });
      if (plugin === undefined) exit(EXIT.internal);
    };
  process.on('uncaughtException', on('uncaught exception')).on('unhandledRejection', on('unhandled rejection'));
}

/** Milliseconds between two log lines about one plugin. */
const INTERVAL = 1000;

interface StrayOptions {
  readonly logger: Logger;
  /** Counts a stray error of a plugin. */
  readonly count: (plugin: string) => void;
  /** Ends the process. */
  readonly onFatal?: (code: number) => void;
}

/**
 * Has errors that nobody caught logged and counted from now on, with a line a second for each plugin.
 *
 * @returns What undoes it.
 */
export function reportStrayErrors({ logger, count, onFatal }: StrayOptions): () => void {
  const lines = new Map<string, { until: number; suppressed: number }>();
  /** How many lines were left out before this one; undefined when it is to be left out too. */
  const passed = (plugin: string): number | undefined => {
    const now = performance.now();
    const known = lines.get(plugin);
    if (known !== undefined && now < known.until) {
      known.suppressed++;
      return undefined;
    }
    lines.set(plugin, { until: now + INTERVAL, suppressed: 0 });
    return known?.suppressed ?? 0;
  };
  watch();
  const before = { report, exit };
  exit = onFatal ?? exit;
  report = ({ plugin, kind, message, stack }) => {
    if (plugin === undefined) return logger.fatal({ error: message, stack }, kind);
    count(plugin);
    const suppressed = passed(plugin);
    if (suppressed === undefined) return;
    logger.error({ plugin, error: message, stack, ...(suppressed > 0 ? { suppressed } : {}) }, `${kind} in a plugin`);
  };
  return () => {
    ({ report, exit } = before);
  };
}
