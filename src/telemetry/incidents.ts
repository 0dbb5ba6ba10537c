/**
 * Incidents: what Ouzel says about itself, as events in a stream like any other. A trouble is said once when it begins
 * and once when it is over; whatever could be a flood is counted and said once a minute.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { Keepsake, Observer } from '../core/ports.ts';
import type { Failure, Run } from '../core/run.ts';
import type { Publisher } from '../deliver/ports.ts';
import { MAX_HOPS } from '../deliver/outgoing.ts';
import { asOuzelError, formatPlace, type OuzelError } from '../errors.ts';
import type { ReloadOutcome } from '../reconcile/result.ts';
import { VERSION } from '../version.ts';
import { INCIDENT_STREAM, type IncidentData, type IncidentKind, INCIDENTS } from './incidents/catalogue.ts';
import { FailingConsumer, type FailingSettings, type Trouble } from './incidents/failing.ts';
import { LetterCounts, type LetterReport } from './incidents/letters.ts';
import { incidentMessage, newInstance } from './incidents/message.ts';
import { Outbox } from './incidents/outbox.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';

/** Milliseconds between looks at what is over or due. */
const TICK = 500;
/** Milliseconds that the last ones have to get into the stream, at most. */
const FLUSH = 5_000;
/** Characters of an error, and of all mistakes of a configuration, at most. */
const LONGEST = 1024;
const LONGEST_REPORT = 8192;

export interface IncidentOptions {
  /** The configuration in force. */
  readonly loaded: () => LoadedConfig;
  readonly keyOf: (run: Run) => string | undefined;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Milliseconds since the epoch, of a clock that never goes back. */
  readonly clock?: () => number;
}

/** Reasons of events that a consumer does not take: they do not show that it handles those that it does. */
const UNTOUCHED: ReadonlySet<string> = new Set(['type', 'own_incident']);

/** What an incident says of a failure. */
interface Cause {
  readonly code: string;
  readonly error: string;
  readonly target?: string | undefined;
  readonly event: {
    readonly stream: string;
    readonly subject: string;
    readonly sequence: number;
    readonly key?: string | undefined;
  };
  /** Of the event, and whether it is an incident itself. */
  readonly hops: number;
  readonly incident: boolean;
}

/** A consumer in which something failed. */
interface Known {
  readonly failing: FailingConsumer;
  /** Whether its failing was published: nobody recovers of whom nothing was said. */
  said: boolean;
  hops: number;
}

const seconds = (milliseconds: number): number => Math.round(milliseconds) / 1000;
const instant = (milliseconds: number): string => new Date(milliseconds).toISOString();

export class Incidents implements Observer {
  /** The name of this process. */
  readonly instance = newInstance();
  readonly #options: IncidentOptions;
  readonly #clock: () => number;
  readonly #outbox: Outbox;
  readonly #startedAt: number;
  readonly #known = new Map<string, Known>();
  /** Targets that are not there, and since when. */
  readonly #away = new Map<string, number>();
  readonly #letters = new LetterCounts<Cause>();
  readonly #timer: NodeJS.Timeout;
  /** Consumers that are failing. While there is none, an event costs one comparison. */
  #failing = 0;
  #number = 0;
  /** Why there is no stream, as it was said last. */
  #noStream = '';

  constructor(options: IncidentOptions) {
    const { clock = () => performance.timeOrigin + performance.now(), metrics, logger } = options;
    this.#options = options;
    this.#clock = clock;
    this.#startedAt = clock();
    for (const kind of Object.keys(INCIDENTS)) metrics.incidents.with(kind);
    metrics.incidentsDropped.with();
    this.#outbox = new Outbox({
      published: ({ kind }) => metrics.incidents.with(kind).increment(),
      dropped: () => metrics.incidentsDropped.with().increment(),
      warn: ({ code, message }, waiting) =>
        logger.warn({ code, stream: INCIDENT_STREAM, waiting }, `incidents cannot be published: ${message}`),
    });
    this.#timer = setInterval(() => this.tick(), TICK);
    this.#timer.unref();
  }

  /**
   * Begins to publish. What Ouzel says about itself must not keep it from its work: without the stream it runs too.
   *
   * @param prepare Makes the stream: now, and again where it is gone.
   */
  async connect(publisher: Publisher, prepare: () => Promise<void>): Promise<void> {
    await prepare().catch((error: unknown) => {
      const { code, message } = asOuzelError(error);
      // A server that is not fit yet is asked again and again.
      if (this.#noStream !== message)
        this.#options.logger.error({ code, stream: INCIDENT_STREAM }, `no stream for incidents: ${message}`);
      this.#noStream = message;
    });
    this.#outbox.connect(publisher, prepare);
  }

  /** To be called when NATS is back. */
  reconnected(): void {
    this.#outbox.resume();
  }

  /** Says what was only counted so far, and waits until all is in the stream. @param limit Ends the waiting. */
  async close(limit: Promise<void>): Promise<void> {
    clearInterval(this.#timer);
    for (const report of this.#letters.due(this.#clock(), true)) this.#sayLetters(report);
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, FLUSH);
    await this.#outbox.close(Promise.race([limit, late]));
    clearTimeout(timer);
  }

  retried(run: Run, failure: Failure): void {
    this.#failed(run, failure, false);
  }

  deadLettered(run: Run, failure: Failure, reason: string): void {
    const { name } = run.consumer;
    const report = this.#letters.add(this.#clock(), name, reason, () => this.#causeOf(run, failure));
    if (report !== undefined) this.#sayLetters(report);
    this.#failed(run, failure, true);
  }

  /** What keeps an event in hand is a failure each time that it is tried in vain. */
  refused(run: Run, _what: Keepsake, error: Error & Partial<Pick<OuzelError, 'code'>>): void {
    const { code = 'INTERNAL', message } = error;
    this.#count(run, false, false, () => this.#cause(run, code, message));
  }

  settled(run: Run, outcome: Parameters<Observer['settled']>[1]): void {
    if (this.#failing > 0 && outcome.kind !== 'dead_lettered' && !UNTOUCHED.has(outcome.reason))
      this.#handled(run, outcome.kind === 'delivered');
  }

  /** A target is not there. @param target As its breaker is called: a named target, or `<consumer>/<route>`. */
  targetUnavailable(target: string, { code, message }: OuzelError): void {
    if (this.#away.has(target)) return;
    this.#away.set(target, this.#clock());
    const consumers = this.#deliveringTo(target);
    this.#say('target.unavailable', { target, consumers, code, error: this.#text(message, LONGEST) }, consumers);
  }

  /** It is gone for good, and nothing is sent there any more. @param target As for `targetUnavailable`. */
  targetDisabled(target: string, { code, message }: OuzelError): void {
    if (!this.#away.has(target)) this.#away.set(target, this.#clock());
    const consumers = this.#deliveringTo(target);
    this.#say('target.disabled', { target, consumers, code, error: this.#text(message, LONGEST) }, consumers);
  }

  /** It is there again. */
  targetRecovered(target: string): void {
    const since = this.#away.get(target);
    if (since === undefined) return;
    this.#away.delete(target);
    const consumers = this.#deliveringTo(target);
    const data = { target, consumers, since: instant(since), lasted_s: seconds(this.#clock() - since) };
    this.#say('target.recovered', data, consumers);
  }

  /** The ticks of a schedule are not published. @param subject As it is configured. */
  scheduleFailing(source: string, subject: string, { code, message }: OuzelError): void {
    this.#say('schedule.failing', { source, subject, code, error: this.#text(message, LONGEST) });
  }

  /** They are published again. @param since When that began, milliseconds since the epoch. */
  scheduleRecovered(source: string, since: number): void {
    this.#say('schedule.recovered', {
      source,
      since: instant(since),
      lasted_s: seconds(Math.max(0, this.#clock() - since)),
    });
  }

  reloadRejected({ hash, reason }: ReloadOutcome): void {
    const inForce = this.#options.loaded();
    this.#say('reload.rejected', {
      config: inForce.file,
      ...(hash === undefined ? {} : { hash }),
      in_force: inForce.hash,
      error: this.#text(reason, LONGEST_REPORT),
    });
  }

  /** The daemon is ready. @param consumers Their states. */
  started(consumers: Readonly<Record<string, string>>): void {
    const { file, hash } = this.#options.loaded();
    this.#say('daemon.started', { version: VERSION, config: file, hash, consumers: { ...consumers } });
  }

  stopping(reason: string): void {
    this.#say('daemon.stopping', { version: VERSION, reason, uptime_s: seconds(this.#clock() - this.#startedAt) });
  }

  /** Looks at what is over or due by now. Called by a timer. */
  tick(): void {
    const now = this.#clock();
    for (const report of this.#letters.due(now)) this.#sayLetters(report);
    for (const [consumer, known] of this.#known) {
      const { failing } = known;
      const gone = this.#settingsOf(consumer) === undefined;
      if (gone && failing.failing) this.#failing--;
      else this.#recovered(consumer, known, failing.look(now));
      if (gone || failing.idle(now)) this.#known.delete(consumer);
    }
  }

  #failed(run: Run, failure: Failure, deadLettered: boolean): void {
    this.#count(run, deadLettered, failure.route !== undefined, () => this.#causeOf(run, failure));
  }

  #count(run: Run, deadLettered: boolean, delivering: boolean, cause: () => Cause): void {
    const { name } = run.consumer;
    const settings = this.#settingsOf(name);
    // A consumer that left the configuration is still draining.
    if (settings === undefined) return;
    let known = this.#known.get(name);
    if (known === undefined) {
      known = { failing: new FailingConsumer(settings), said: false, hops: 0 };
      this.#known.set(name, known);
    }
    known.failing.adjust(settings);
    const trouble = known.failing.failed(this.#clock(), deadLettered, delivering);
    if (trouble === undefined) return;
    this.#failing++;
    const { hops, incident, ...rest } = cause();
    const data = {
      consumer: name,
      errors: trouble.errors,
      dead_lettered: trouble.deadLettered,
      within_s: seconds(settings.within),
      since: instant(trouble.since),
      ...rest,
    };
    known.hops = hops;
    known.said = this.#sayOf('consumer.failing', data, name, { hops, incident });
  }

  #handled(run: Run, delivered: boolean): void {
    const { name } = run.consumer;
    const known = this.#known.get(name);
    if (known !== undefined) this.#recovered(name, known, known.failing.handled(this.#clock(), delivered));
  }

  #recovered(consumer: string, { said, hops }: Known, trouble: Trouble | undefined): void {
    if (trouble === undefined) return;
    this.#failing--;
    if (!said) return;
    const { since, errors, deadLettered } = trouble;
    const lasted = seconds(this.#clock() - since);
    const data = { consumer, since: instant(since), lasted_s: lasted, errors, dead_lettered: deadLettered };
    this.#sayOf('consumer.recovered', data, consumer, { hops, incident: false });
  }

  #sayLetters({ consumer, reason, count, since, detail }: LetterReport<Cause>): void {
    const { hops, incident, ...rest } = detail;
    this.#sayOf('dead_letter', { consumer, reason, count, since: instant(since), ...rest }, consumer, {
      hops,
      incident,
    });
  }

  /**
   * Says what the handling of an event led to. What led to it counts its way: incidents about the handling of incidents
   * end at `MAX_HOPS`. Of any other event it is said in any case, and can be published on as often as the event could.
   */
  #sayOf<Kind extends IncidentKind>(
    kind: Kind,
    data: IncidentData<Kind>,
    consumer: string,
    { hops, incident }: Pick<Cause, 'hops' | 'incident'>,
  ): boolean {
    if (incident && hops + 1 >= MAX_HOPS) {
      this.#options.metrics.incidentsDropped.with().increment();
      return false;
    }
    this.#say(kind, data, [consumer], Math.min(hops + 1, MAX_HOPS));
    return true;
  }

  #say<Kind extends IncidentKind>(
    kind: Kind,
    data: IncidentData<Kind>,
    concerns: readonly string[] = [],
    hops = 1,
  ): void {
    const { instance } = this;
    const id = `${instance}.${this.#number++}`;
    this.#outbox.add(incidentMessage(kind, data, { instance, id, concerns, hops, time: this.#clock() }));
  }

  #causeOf(run: Run, { error, route }: Failure): Cause {
    const place = error.place === undefined ? '' : ` at ${formatPlace(error.place)}`;
    return this.#cause(run, error.code, error.message + place, route?.targetName);
  }

  #cause(run: Run, code: string, message: string, target?: string): Cause {
    const key = this.#options.keyOf(run);
    const { stream, subject, sequence } = run;
    return {
      code,
      error: this.#text(message, LONGEST),
      ...(target === undefined ? {} : { target }),
      event: { stream, subject, sequence, ...(key === undefined ? {} : { key: this.#text(key, LONGEST) }) },
      hops: Math.max(0, Number.parseInt(run.header('Ouzel-Hops') ?? '0', 10) || 0),
      incident: stream === INCIDENT_STREAM,
    };
  }

  /** The consumers that deliver to a target. */
  #deliveringTo(target: string): string[] {
    return Object.entries(this.#options.loaded().config.consumers)
      .filter(
        ([name, { deliver }]) => target.startsWith(`${name}/`) || deliver?.some(({ to }) => to === target) === true,
      )
      .map(([name]) => name);
  }

  #settingsOf(consumer: string): FailingSettings | undefined {
    return this.#options.loaded().config.consumers[consumer]?.failing;
  }

  #text(text: string, longest: number): string {
    return this.#options.loaded().redact(text).slice(0, longest);
  }
}
