/**
 * What somebody changed over the API, or was kept from changing: one record each in the stream `OUZEL_AUDIT`, stored
 * before the answer is sent.
 */
import { randomUUID } from 'node:crypto';
import { headerBlock, headerLine } from '../core/headers.ts';
import { stringifyJson } from '../core/json.ts';
import type { Publisher } from '../deliver/ports.ts';
import { asOuzelError, OuzelError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { hashOf } from './chain.ts';
import { withoutSecrets } from './redact.ts';
import type { Trail } from './trail.ts';

export const AUDIT_STREAM = 'OUZEL_AUDIT';
export const AUDIT_SUBJECTS = 'ouzel.audit.>';
const ACT_PREFIX = 'ouzel.audit.act.';

/** Milliseconds to wait for the PubAck. */
const TIMEOUT = 5_000;
/** Bytes of `before` and of `after` that are kept. */
const MAX_STATE = 65_536;

/** `done`: carried out. `refused`: not allowed, or not possible as asked. `failed`: nobody knows how much was done. */
export type ActOutcome = 'done' | 'refused' | 'failed';

/** One record, as it is stored (docs/reference/audit.md). Later versions add to it. */
export interface ActRecord {
  readonly version: 1;
  readonly id: string;
  /** RFC 3339. */
  readonly time: string;
  /** Null: nobody knows. */
  readonly who: string | null;
  /** The address at the other end of the connection. */
  readonly from: string;
  /** What a proxy says of where it came from. Anybody can claim it. */
  readonly forwarded_for?: string | undefined;
  readonly what: string;
  readonly resource: string;
  readonly before?: unknown;
  readonly after?: unknown;
  readonly outcome: ActOutcome;
  /** Of the answer, as HTTP has it. */
  readonly status: number;
  /** Of the registry of errors, where it was not carried out. */
  readonly code?: string | undefined;
  readonly instance: string;
}

/** What is known of an act where it is recorded. */
export type ActEntry = Omit<ActRecord, 'version' | 'id' | 'time' | 'instance'>;

export interface ActsOptions {
  readonly instance: string;
  /** Takes the secrets of the configuration in force out of a text. */
  readonly redact: (text: string) => string;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** The chain that acts are put into; undefined: none. */
  readonly chain?: (() => Trail | undefined) | undefined;
}

export class Acts {
  readonly #options: ActsOptions;
  #publisher: Publisher | undefined;
  #prepare: () => Promise<void> = () => Promise.resolve();

  constructor(options: ActsOptions) {
    this.#options = options;
    options.metrics.auditDropped.with('act');
    options.metrics.auditDropped.with('flood');
  }

  /** @param prepare Makes the stream: now, and again where it is gone. */
  async connect(publisher: Publisher, prepare: () => Promise<void>): Promise<void> {
    await prepare().catch((error: unknown) => this.#say(error, 'no stream for the audit'));
    this.#publisher = publisher;
    this.#prepare = prepare;
  }

  /**
   * Stores a record and writes it to the log. What cannot be stored is counted, and in the log all the same.
   *
   * @returns Once it is stored, or was found not to be.
   */
  async record(entry: ActEntry): Promise<void> {
    const { logger, metrics, instance } = this.#options;
    const { before, after, ...rest } = entry;
    const record: ActRecord = {
      version: 1,
      id: randomUUID(),
      time: new Date().toISOString(),
      ...rest,
      ...(before === undefined ? {} : { before: this.#stateOf(before) }),
      ...(after === undefined ? {} : { after: this.#stateOf(after) }),
      instance,
    };
    logger.info({ audit: record }, `${record.what} ${record.resource}: ${record.outcome}`);
    const body = stringifyJson(record);
    try {
      await this.#store(record, body);
    } catch (error) {
      metrics.auditDropped.with('act').increment();
      return this.#say(error, `act ${record.id} is not in the audit`);
    }
    await this.#link(record, body);
  }

  /** Puts what is stored into the chain, so that it cannot be changed or taken away unseen. */
  async #link({ id: act, time, what, resource, who }: ActRecord, body: string): Promise<void> {
    const entry = { at: Date.parse(time), act, what, resource, who, sha256: hashOf(body) };
    try {
      await this.#options.chain?.()?.act(entry);
    } catch (error) {
      this.#say(error, `act ${act} is in the audit, but not in its chain yet`);
    }
  }

  /** One that is left out, so that a flood of refusals cannot push everything else out of the stream. */
  leftOut(): void {
    this.#options.metrics.auditDropped.with('flood').increment();
  }

  async #store(record: ActRecord, body: string): Promise<void> {
    try {
      await this.#publish(record, body);
    } catch (error) {
      if (!(error instanceof OuzelError) || error.code !== 'TARGET_NO_STREAM') throw error;
      await this.#prepare();
      await this.#publish(record, body);
    }
  }

  #publish(record: ActRecord, body: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (this.#publisher === undefined) throw new OuzelError('NATS_UNAVAILABLE', 'NATS is away');
    const headers = headerBlock(headerLine('Nats-Msg-Id', record.id) + headerLine('Content-Type', 'application/json'));
    this.#publisher.publish(ACT_PREFIX + tokensOf(record.what), headers, body, TIMEOUT, {
      confirmed: () => resolve(),
      failed: reject,
    });
    return promise;
  }

  /** Without secrets, and no larger than it may be. */
  #stateOf(state: unknown): unknown {
    const clean = withoutSecrets(state, this.#options.redact);
    const text = stringifyJson(clean);
    const bytes = Buffer.byteLength(text);
    return bytes <= MAX_STATE ? clean : { left_out: `${bytes} bytes are more than the audit keeps` };
  }

  #say(error: unknown, what: string): void {
    const { code, message } = asOuzelError(error);
    this.#options.logger.error({ code, stream: AUDIT_STREAM }, `${what}: ${message}`);
  }
}

/** `consumer.put` as it stands in a subject. */
const tokensOf = (what: string): string => what.replaceAll(/[^A-Za-z0-9_.-]|^\.+|\.+$|\.(?=\.)/g, '_');
