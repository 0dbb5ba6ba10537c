/** Isolated plugins as steps of a plan and as targets: what `plugins/steps.ts` and `target.ts` are in the process. */
import type { Outcome, Step } from '../../core/plan.ts';
import { PENDING, type Run } from '../../core/run.ts';
import type { Delivery } from '../../deliver/delivery.ts';
import type { MessageIds } from '../../deliver/ids.ts';
import type { PreparedTarget } from '../../deliver/route.ts';
import type { OuzelError } from '../../errors.ts';
import { applyEdits, crossing } from './crossing.ts';
import type { HostCall, IsolatedHost } from './host.ts';
import type { CallDetails, Edit } from './protocol.ts';

class StepCall implements HostCall {
  readonly #run: Run;
  readonly #refused: Outcome;
  readonly #attempt: number;

  constructor(run: Run, refused: Outcome) {
    this.#run = run;
    this.#refused = refused;
    this.#attempt = run.attempt;
  }

  details(): CallDetails {
    return { event: crossing(this.#run.event), attempt: this.#attempt, delivery: undefined };
  }

  isOver(): boolean {
    return this.#run.decided;
  }

  get signal(): AbortSignal {
    return this.#run.signal;
  }

  answered(passes: boolean, edits: readonly Edit[]): void {
    if (this.#run.decided) return;
    try {
      applyEdits(this.#run, edits);
    } catch (error) {
      return this.#run.fail(error);
    }
    this.#run.resume(passes ? undefined : this.#refused);
  }

  failed(error: OuzelError): void {
    this.#run.fail(error);
  }
}

/** A filter or transformer; one that does not let an event pass ends it with `refused`. */
export const isolatedStep = (name: string, host: IsolatedHost, refused: Outcome): Step => ({
  name,
  run(run) {
    host.call(new StepCall(run, refused));
    return PENDING;
  },
});

class DeliveryCall implements HostCall {
  readonly #delivery: Delivery;
  readonly #messageId: MessageIds;

  constructor(delivery: Delivery, messageId: MessageIds) {
    this.#delivery = delivery;
    this.#messageId = messageId;
  }

  details(): CallDetails {
    const { run, route } = this.#delivery;
    return {
      event: crossing(run.event),
      attempt: run.attempt,
      delivery: { id: this.#messageId(run), route: route.name },
    };
  }

  isOver(): boolean {
    return this.#delivery.state !== 'open';
  }

  get signal(): AbortSignal {
    return this.#delivery.signal;
  }

  answered(): void {
    this.#delivery.confirm();
  }

  failed(error: OuzelError): void {
    this.#delivery.fail(error);
  }
}

/** @param messageId Makes the ids of the route's deliveries (`deliver/ids.ts`). */
export const isolatedTarget = (host: IsolatedHost, messageId: MessageIds): PreparedTarget => ({
  deliver: (delivery) => host.call(new DeliveryCall(delivery, messageId)),
});
