/** Targets of plugins. */
import type { Delivery } from '../deliver/delivery.ts';
import type { PreparedTarget } from '../deliver/route.ts';
import type { MessageIds } from '../deliver/ids.ts';
import type { PluginDelivery, TargetHandler } from './define.ts';
import type { PluginEvent } from './event.ts';
import { failureOf } from './errors.ts';
import { EventReader } from './event.ts';
import { runPlugin } from './stray.ts';
import { isPromise } from './steps.ts';
import { readOnly } from './values.ts';

class DeliveryCall implements PluginDelivery {
  readonly #delivery: Delivery;
  readonly #messageId: MessageIds;

  constructor(delivery: Delivery, messageId: MessageIds) {
    this.#delivery = delivery;
    this.#messageId = messageId;
  }

  get signal(): AbortSignal {
    return this.#delivery.signal;
  }

  get attempt(): number {
    return this.#delivery.run.attempt;
  }

  get id(): string {
    return this.#messageId(this.#delivery.run);
  }

  get route(): string {
    return this.#delivery.route.name;
  }

  get events(): readonly PluginEvent[] {
    const { run } = this.#delivery;
    return (run.together ?? [run]).map((each) => new EventReader(each));
  }

  get key(): unknown {
    return readOnly(this.#delivery.run.key ?? null);
  }
}

/** @param messageId Makes the ids of the route's deliveries (`deliver/ids.ts`). */
export function preparedTarget(plugin: string, handler: TargetHandler, messageId: MessageIds): PreparedTarget {
  return {
    deliver(delivery) {
      const fail = (error: unknown): void => delivery.fail(failureOf(error, plugin, 'target'));
      try {
        const call = new DeliveryCall(delivery, messageId);
        const answer: unknown = runPlugin(plugin, () => handler(new EventReader(delivery.run), call), call);
        if (!isPromise(answer)) return delivery.confirm();
        Promise.resolve(answer).then(() => delivery.confirm(), fail);
      } catch (error) {
        fail(error);
      }
    },
  };
}
