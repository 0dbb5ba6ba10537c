/** Questions under way: whoever asks the same meanwhile waits for the same answer. */
import { asOuzelError, type OuzelError } from '../errors.ts';
import type { Answer, Question } from './source.ts';

/** Hears of one question, at most once. */
export interface AnswerListener {
  answered(answer: Answer): void;
  failed(error: OuzelError): void;
}

interface Flight {
  readonly abort: AbortController;
  readonly waiting: Set<AnswerListener>;
}

export class Flights {
  readonly #flights = new Map<string, Flight>();
  readonly #onAnswer: (id: string, answer: Answer) => void;

  /** @param onAnswer Hears of each answer once, before those who wait for it. */
  constructor(onAnswer: (id: string, answer: Answer) => void) {
    this.#onAnswer = onAnswer;
  }

  /**
   * Asks, or waits with those who asked the same.
   *
   * @param signal When it is aborted, this listener hears nothing; the question ends when nobody waits for it.
   */
  ask(question: Question, signal: AbortSignal, listener: AnswerListener): void {
    if (signal.aborted) return;
    const { id } = question;
    const known = this.#flights.get(id);
    const flight = known ?? { abort: new AbortController(), waiting: new Set<AnswerListener>() };
    const leave = (): void => {
      flight.waiting.delete(mine);
      if (flight.waiting.size > 0) return;
      if (this.#flights.get(id) === flight) this.#flights.delete(id);
      flight.abort.abort(signal.reason);
    };
    const heard = (): void => signal.removeEventListener('abort', leave);
    const mine: AnswerListener = {
      answered: (answer) => (heard(), listener.answered(answer)),
      failed: (error) => (heard(), listener.failed(error)),
    };
    flight.waiting.add(mine);
    signal.addEventListener('abort', leave, { once: true });
    if (known === undefined) this.#begin(question, flight);
  }

  #begin(question: Question, flight: Flight): void {
    const { id } = question;
    this.#flights.set(id, flight);
    const end = (tell: (listener: AnswerListener) => void): void => {
      // One that was left by all is nobody's, and another may have taken its place.
      if (this.#flights.get(id) === flight) this.#flights.delete(id);
      for (const listener of flight.waiting) tell(listener);
    };
    question
      .ask(flight.abort.signal)
      .then((answer) => {
        this.#onAnswer(id, answer);
        end((listener) => listener.answered(answer));
      })
      .catch((error: unknown) => {
        const failure = asOuzelError(error, 'EVENT_FAILED');
        end((listener) => listener.failed(failure));
      });
  }
}
