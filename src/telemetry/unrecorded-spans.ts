/** Spans that are not recorded, and whose context goes on all the same: a trace must not end here. */
import type { AttemptSpan, DeliverySpan } from '../core/ports.ts';
import { type Ids, type RemoteContext, spanIdOf, traceIdOf, traceparentOf } from './trace-context.ts';

/** An attempt that is not recorded, in a trace that begins here: those that follow hear that it is not. */
export class Unsampled implements AttemptSpan, DeliverySpan, Ids {
  readonly bytes: Buffer;
  readonly at: number;
  readonly tracestate: string | undefined;

  constructor(bytes: Buffer, at: number, tracestate: string | undefined) {
    this.bytes = bytes;
    this.at = at;
    this.tracestate = tracestate;
  }

  get traceId(): string {
    return traceIdOf(this);
  }

  get spanId(): string {
    return spanIdOf(this);
  }

  get traceparent(): string {
    return traceparentOf(this, false);
  }

  deliver(): DeliverySpan {
    return this;
  }

  end(): void {}
}

/** An attempt in a trace that is not recorded: the producer's context is handed on as it came. */
export class PassedOn implements AttemptSpan, DeliverySpan {
  readonly #context: RemoteContext;

  constructor(context: RemoteContext) {
    this.#context = context;
  }

  get traceId(): string {
    return traceIdOf(this.#context);
  }

  get spanId(): string {
    return spanIdOf(this.#context);
  }

  get traceparent(): string {
    return traceparentOf(this.#context, false);
  }

  get tracestate(): string | undefined {
    return this.#context.tracestate;
  }

  deliver(): DeliverySpan {
    return this;
  }

  end(): void {}
}
