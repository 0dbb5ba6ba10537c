/**
 * Sends encoded spans in batches. What is encoded and not yet taken by the collector is bounded; beyond that spans are
 * dropped before anything is spent on them. A collector that is away is tried again with one batch at a time.
 */
import type { Cell } from '../cells.ts';
import type { SpanExporter, SpanRecord } from '../span-record.ts';
import { type Batch, type Origin, SpanEncoder } from './encode.ts';

/** What became of a batch: taken (less the spans that the collector rejected), worth another try, or refused for good. */
export type SendResult =
  | { readonly kind: 'taken'; readonly rejected: number; readonly reason: string }
  | { readonly kind: 'again'; readonly reason: string; readonly after: number | undefined }
  | { readonly kind: 'refused'; readonly reason: string };

/** Carries batches to a collector (`http.ts`). */
export interface Sender {
  /** Never rejects. */
  send(body: Uint8Array): Promise<SendResult>;
  /** Ends what is on its way. */
  close(): void;
}

/** Hears of the collector's health: once when it turns bad, once when it is good again. */
export interface HealthListener {
  failing(reason: string): void;
  recovered(): void;
}

export interface QueueLimits {
  /** Spans that wait or are on their way, at most. */
  readonly queue: number;
  /** Spans of one request, at most. */
  readonly batch: number;
  /** Milliseconds that a span waits for others at most. */
  readonly delay: number;
  /** Milliseconds after which a batch is given up. */
  readonly timeout: number;
}

export interface OtlpExporterOptions {
  readonly origin: Origin;
  readonly sender: Sender;
  readonly limits: QueueLimits;
  readonly dropped: Cell;
  readonly health: HealthListener;
}

/** Requests on their way at once, while the collector answers. */
const AT_ONCE = 4;
/** Bytes of a request, at most: collectors take 4 MiB and more by default. */
const LARGEST_BATCH = 1024 * 1024;
/** Milliseconds between attempts with a batch: the first, and the most. */
const RETRY_FIRST = 500;
const RETRY_MAX = 5_000;

interface Waiting extends Batch {
  /** Milliseconds of the monotonic clock after which it is given up. */
  readonly until: number;
}

export class OtlpExporter implements SpanExporter {
  readonly #encoder: SpanEncoder;
  readonly #sender: Sender;
  readonly #limits: QueueLimits;
  readonly #dropped: Cell;
  readonly #health: HealthListener;
  readonly #timer: NodeJS.Timeout;
  /** Batches that wait for their turn; what is on its way is not among them. */
  #waiting: Waiting[] = [];
  #sending = 0;
  /** Spans that are encoded and neither taken nor given up. */
  #held = 0;
  /** Attempts that failed since the last one that did not. */
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #stopping = false;
  #whenEmpty: (() => void) | undefined;

  constructor({ origin, sender, limits, dropped, health }: OtlpExporterOptions) {
    this.#limits = limits;
    this.#encoder = new SpanEncoder(origin, Math.min(LARGEST_BATCH, limits.batch * 1024));
    this.#sender = sender;
    this.#dropped = dropped;
    this.#health = health;
    this.#timer = setInterval(() => this.#flush(), limits.delay);
    this.#timer.unref();
  }

  export(span: SpanRecord): void {
    if (this.#held >= this.#limits.queue || this.#closed) return this.#dropped.increment();
    const encoder = this.#encoder;
    encoder.add(span);
    this.#held++;
    if (encoder.spans >= this.#limits.batch || encoder.full || this.#stopping) this.#flush();
  }

  async shutdown(deadline: Promise<void>): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping = true;
    this.#flush();
    if (this.#held > 0) {
      const { promise: empty, resolve } = Promise.withResolvers<void>();
      this.#whenEmpty = resolve;
      await Promise.race([empty, deadline]);
    }
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#dropped.add(this.#held);
    this.#held = 0;
    this.#waiting = [];
    this.#sender.close();
  }

  /** Closes the batch that is being filled. */
  #flush(): void {
    if (this.#encoder.spans === 0) return;
    this.#waiting.push({ ...this.#encoder.take(), until: performance.now() + this.#limits.timeout });
    this.#next();
  }

  /** Sends what waits, as much at once as the collector's health allows. */
  #next(): void {
    if (this.#retry !== undefined || this.#closed) return;
    const most = this.#failures > 0 ? 1 : AT_ONCE;
    while (this.#sending < most) {
      const batch = this.#waiting.shift();
      if (batch === undefined) return;
      this.#sending++;
      // `send` never rejects; what the answer throws would be a fault of our own.
      this.#sender
        .send(batch.body)
        .then((result) => this.#answered(batch, result))
        .catch((error: unknown) => this.#health.failing(String(error)));
    }
  }

  #answered(batch: Waiting, result: SendResult): void {
    this.#sending--;
    if (this.#closed) return;
    if (result.kind === 'again') {
      this.#fail(result.reason);
      if (performance.now() >= batch.until) this.#release(batch, batch.spans);
      else this.#waiting.unshift(batch);
      this.#pause(result.after);
      return;
    }
    if (result.kind === 'taken') this.#encoder.recycle(batch);
    if (result.kind === 'refused') this.#fail(result.reason);
    else if (result.rejected > 0) this.#fail(`${result.rejected} spans rejected: ${result.reason}`);
    else this.#recover();
    this.#release(batch, result.kind === 'taken' ? result.rejected : batch.spans);
    this.#next();
  }

  #release(batch: Waiting, lost: number): void {
    this.#held -= batch.spans;
    if (lost > 0) this.#dropped.add(Math.min(lost, batch.spans));
    if (this.#held === 0) this.#whenEmpty?.();
  }

  #fail(reason: string): void {
    if (this.#failures++ === 0) this.#health.failing(reason);
  }

  #recover(): void {
    if (this.#failures > 0) this.#health.recovered();
    this.#failures = 0;
  }

  /** Leaves the collector alone for a while. */
  #pause(after: number | undefined): void {
    if (this.#retry !== undefined) return;
    const delay = after ?? Math.min(RETRY_MAX, RETRY_FIRST * 2 ** Math.min(10, this.#failures - 1));
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined;
        this.#next();
      },
      Math.min(delay, this.#limits.timeout),
    );
    this.#retry.unref();
  }
}
