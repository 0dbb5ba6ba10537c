/** Filters and transformers of plugins as steps of a plan. One that answers at once costs no promise. */
import type { Outcome, Step } from '../core/plan.ts';
import { PENDING, type Run, type Verdict } from '../core/run.ts';
import { OuzelError } from '../errors.ts';
import type { FilterHandler, PluginCall, TransformerHandler } from './define.ts';
import { failureOf } from './errors.ts';
import { EventReader, EventWriter } from './event.ts';
import { runPlugin } from './stray.ts';

/** Made for each event; the signal only when it is asked for. */
class Call implements PluginCall {
  readonly #run: Run;

  constructor(run: Run) {
    this.#run = run;
  }

  get signal(): AbortSignal {
    return this.#run.signal;
  }

  get attempt(): number {
    return this.#run.attempt;
  }
}

export const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';

/** @throws OuzelError PLUGIN_FAILED for what is neither true nor false */
export function filterAnswer(plugin: string, answer: unknown): boolean {
  if (typeof answer === 'boolean') return answer;
  throw wrongAnswer(plugin, 'a filter answers true or false', answer);
}

/** @throws OuzelError PLUGIN_FAILED for any answer at all */
export function transformerAnswer(plugin: string, answer: unknown): void {
  if (answer !== undefined) throw wrongAnswer(plugin, 'a transformer changes the event and answers nothing', answer);
}

const wrongAnswer = (plugin: string, expected: string, answer: unknown): OuzelError =>
  new OuzelError('PLUGIN_FAILED', `plugin ${plugin}: ${expected}; this one answered ${describe(answer)}`);

const describe = (value: unknown): string =>
  value === null || value === undefined || typeof value === 'boolean' ? String(value) : `a ${typeof value}`;

/** Takes the answer of a plugin now, or when its promise is kept. */
function answered(
  run: Run,
  plugin: string,
  answer: unknown,
  verdictOf: (answer: unknown) => Outcome | undefined,
): Verdict {
  if (!isPromise(answer)) return verdictOf(answer);
  // `answer` may be any thenable, which may call back as often as it likes; a promise does so once.
  Promise.resolve(answer)
    .then((value) => run.resume(verdictOf(value)))
    .catch((error: unknown) => run.fail(failureOf(error, plugin, 'step')));
  return PENDING;
}

export function filterStep(name: string, plugin: string, handler: FilterHandler, refused: Outcome): Step {
  const verdictOf = (answer: unknown): Outcome | undefined => (filterAnswer(plugin, answer) ? undefined : refused);
  return {
    name,
    run(run) {
      try {
        const call = new Call(run);
        const answer = runPlugin(plugin, () => handler(new EventReader(run), call), call);
        return answered(run, plugin, answer, verdictOf);
      } catch (error) {
        throw failureOf(error, plugin, 'step');
      }
    },
  };
}

export function transformerStep(name: string, plugin: string, handler: TransformerHandler): Step {
  return {
    name,
    run(run) {
      const event = new EventWriter(run);
      const verdictOf = (answer: unknown): undefined => {
        event.close();
        transformerAnswer(plugin, answer);
        return undefined;
      };
      try {
        const call = new Call(run);
        const answer: unknown = runPlugin(plugin, () => handler(event, call), call);
        return answered(run, plugin, answer, verdictOf);
      } catch (error) {
        throw failureOf(error, plugin, 'step');
      }
    },
  };
}
