/** One delivery of one event to one target: the handle that a target answers through. */
import type { Batch } from '../core/batch.ts';
import type { Event } from '../core/event.ts';
import type { DeliverySpan } from '../core/ports.ts';
import type { Run } from '../core/run.ts';
import { asOuzelError, type OuzelError } from '../errors.ts';
import type { Exchange } from './log.ts';
import type { Route } from './route.ts';

export class Delivery {
  readonly run: Run;
  readonly route: Route;
  state: 'open' | 'confirmed' | 'failed' = 'open';
  error: OuzelError | undefined;
  /** Milliseconds of the monotonic clock. */
  startedAt = performance.now();
  /** Set while its target puts it off: its time does not count then. */
  isPutOff = false;
  /** The batch that it is part of, and the delivery of that batch; undefined for one by itself. */
  batch: Batch | undefined;
  whole: Delivery | undefined;
  /** Set when its event is with somebody else. */
  isLeft = false;
  /** Undefined while traces are off. */
  readonly span: DeliverySpan | undefined;
  /** What was sent over HTTP, for the log of deliveries; set by targets that do, before they send. */
  exchange: Exchange | undefined;
  /** What its target cancels when nobody waits for it any more; the same as `signal`, for less. */
  underway: { cancel(reason: Error): void } | undefined;
  /** Milliseconds that it took; undefined before it ended. */
  duration: number | undefined;
  #abort: AbortController | undefined;

  /** @param isPart Whether its event is delivered with others: one span stands for them all. */
  constructor(run: Run, route: Route, isPart = false) {
    this.run = run;
    this.route = route;
    this.span = isPart ? undefined : run.span?.deliver(this);
  }

  /** Hands it to its target. */
  begin(): void {
    try {
      this.route.target.deliver(this);
    } catch (error) {
      this.fail(error);
    }
  }

  get event(): Event {
    return this.run.event;
  }

  /** Aborted when the delivery or its attempt runs out of time; a target that waits for something obeys it. */
  get signal(): AbortSignal {
    return (this.#abort ??= new AbortController()).signal;
  }

  /** Nobody waits for it any more: the event was lost to somebody else, or goes back. */
  abort(reason?: OuzelError): void {
    if (this.state !== 'open') return;
    this.stop(reason);
    this.isLeft = true;
    this.whole?.leave(undefined);
  }

  /** One of the events of a batch's delivery does not wait for it any more. */
  leave(_error: OuzelError | undefined): void {
    // What is no batch has no parts.
  }

  /** Tells the target that nobody waits. */
  protected stop(reason?: OuzelError): void {
    this.#abort?.abort(reason);
    this.underway?.cancel(reason ?? new Error('given up'));
  }

  /** Whether it may be put off: nothing else waits for its run. */
  get mayWait(): boolean {
    return this.run.deliveries?.length === 1 && !this.run.admitted;
  }

  /** Puts it off for as long as it takes. A consumer that stops or is paused gives its event back meanwhile. */
  putOff(): void {
    if (this.state !== 'open') return;
    this.isPutOff = true;
    this.run.consumer.waits(this.run);
  }

  /** Goes on with it; false when its event was given back meanwhile, or somebody else has it. */
  goOn(): boolean {
    if (this.state !== 'open' || this.run.decided) return false;
    this.isPutOff = false;
    this.startedAt = performance.now();
    this.run.startedAt = this.startedAt;
    return true;
  }

  /** The target has it for good: PubAck, 2xx, committed row. */
  confirm(): void {
    if (this.state !== 'open') return;
    this.state = 'confirmed';
    this.route.cells.confirmed.increment();
    this.#close();
  }

  /** The target does not have it, or nobody knows. `rejected` errors use up attempts, `unavailable` ones do not. */
  fail(reason: unknown): void {
    if (this.state !== 'open') return;
    this.state = 'failed';
    this.error = asOuzelError(reason, 'EVENT_FAILED');
    this.stop(this.error);
    (this.error.kind === 'unavailable' ? this.route.cells.unavailable : this.route.cells.rejected).increment();
    this.#close();
  }

  #close(): void {
    if (this.whole === undefined) this.report(this.error);
    else this.whole.leave(this.error);
    const { run } = this;
    if (--run.openDeliveries > 0) return;
    const failed = decisive(run.deliveries ?? []);
    if (failed === undefined) run.delivered();
    else run.fail(failed.error, failed.route);
  }

  /** Says what came of it to whoever follows the target: once for a batch, however many events are in it. */
  protected report(error: OuzelError | undefined): void {
    const { breaker, cells, retry } = this.route;
    if (error === undefined) breaker.succeeded(this.startedAt);
    else breaker.failed(error, retry.max);
    this.duration = performance.now() - this.startedAt;
    cells.duration.observe(this.duration / 1000);
    this.span?.end(error);
    if (this.exchange !== undefined) this.#log(this.exchange, this.duration);
  }

  #log(exchange: Exchange, duration: number): void {
    const { run, route, error } = this;
    const { stream, sequence, subject, attempt, consumer } = run;
    route.breaker.deliveries.add({
      at: Date.now(),
      consumer: consumer.name,
      route: route.name,
      stream,
      sequence,
      subject,
      attempt,
      result: error === undefined ? 'confirmed' : error.kind === 'unavailable' ? 'unavailable' : 'rejected',
      duration,
      exchange,
      error: error && { code: error.code, message: error.message },
    });
  }
}

/** The failure that decides over the event: the first refusal, else the first target that was unavailable. */
function decisive(deliveries: readonly Delivery[]): Delivery | undefined {
  const failed = deliveries.filter(({ state }) => state === 'failed');
  return failed.find(({ error }) => error?.kind !== 'unavailable') ?? failed[0];
}
