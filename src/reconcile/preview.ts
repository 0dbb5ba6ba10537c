/** What putting a configuration in force would do on the server: worked out by the code that does it, and not done. */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { LoadedConfig } from '../config/load.ts';
import type { Config, ConsumerConfig } from '../config/schema.ts';
import { overlaps } from '../core/subjects.ts';
import { deadLetterSubject } from '../deadletter/store.ts';
import { asOuzelError, type ErrorCode, formatPlace, OuzelError } from '../errors.ts';
import type { Template } from '../expression/index.ts';
import { checkPermissions, type Need } from '../nats/permissions.ts';
import {
  type Difference,
  type DurableSpec,
  planDurable,
  planStream,
  type StreamSpec,
  type StreamState,
} from '../nats/plan.ts';
import { ATTEMPTS_PREFIX, ATTEMPTS_STREAM } from '../nats/attempts.ts';
import { LANE_STREAM, laneSubjects } from '../nats/lane-stream.ts';
import { findDurable, findStream } from '../nats/provision.ts';
import type { LookupOptions } from '../pipeline/transformers/lookup.ts';
import { HELD_STREAM, heldSubject } from '../nats/held.ts';
import { SEEN_STREAM } from '../nats/seen.ts';
import { dueSubject, TIMER_STREAM, timerSubject } from '../nats/timers.ts';
import { SCHEDULES_PREFIX, SCHEDULES_STREAM } from '../nats/ticks.ts';
import { INCIDENT_SUBJECTS } from '../telemetry/incidents/catalogue.ts';
import { CONFIG_STREAM, CONFIG_SUBJECTS } from '../fleet/store.ts';
import { durableSpec, laneSpecs, revisionsOf, streamSpecs } from './build.ts';
import { auditSpec, incidentSpec, schedulesSpec, systemSpecs, trailSpecs } from './system-streams.ts';

/** One thing that was looked at. */
export interface PlanItem {
  readonly kind: 'stream' | 'consumer' | 'target' | 'source' | 'permission';
  readonly name: string;
  /**
   * `make`, `change`; `keep`: it differs, and is left as it is; `none`: it is as it should be; `refuse`: it cannot be;
   * `unknown`: it could not be found out.
   */
  readonly action: 'make' | 'change' | 'keep' | 'none' | 'refuse' | 'unknown';
  readonly detail?: string;
  readonly differences?: readonly Difference[];
  /** Why it is refused. */
  readonly code?: ErrorCode;
  /** Where it stands in the configuration. */
  readonly place?: string;
}

export interface ServerPlan {
  readonly server: string;
  readonly version: string;
  readonly items: readonly PlanItem[];
}

/** Whether the configuration can be put in force as it is. */
export const isFeasible = ({ items }: ServerPlan): boolean => items.every(({ action }) => action !== 'refuse');

/**
 * Works out what would be made, changed and refused.
 *
 * @throws OuzelError NATS_UNAVAILABLE when the server goes away meanwhile
 */
export async function previewPlan(
  loaded: LoadedConfig,
  connection: NatsConnection,
  manager: JetStreamManager,
): Promise<ServerPlan> {
  const items = await new Previewer(loaded, connection, manager).items();
  return { server: connection.getServer(), version: connection.info?.version ?? '', items };
}

class Previewer {
  readonly #loaded: LoadedConfig;
  readonly #config: Config;
  readonly #connection: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #items: PlanItem[] = [];
  /** Streams as they would be. */
  readonly #streams = new Map<string, StreamState | undefined>();
  readonly #needs = new Map<string, Need>();

  constructor(loaded: LoadedConfig, connection: NatsConnection, manager: JetStreamManager) {
    this.#loaded = loaded;
    this.#config = loaded.config;
    this.#connection = connection;
    this.#manager = manager;
  }

  async items(): Promise<readonly PlanItem[]> {
    for (const spec of [
      ...systemSpecs(this.#config),
      incidentSpec(this.#config),
      auditSpec(this.#config),
      ...trailSpecs(this.#config),
      ...streamSpecs(this.#config),
    ])
      await this.#looked('stream', spec.name, () => this.#stream(spec));
    this.#need(INCIDENT_SUBJECTS, 'for incidents', false);
    for (const { subjects } of trailSpecs(this.#config))
      for (const subject of subjects) this.#need(subject, 'for the audit', false);
    for (const [name, revision] of revisionsOf(this.#loaded))
      for (const spec of this.#durables(name, revision))
        await this.#looked('consumer', spec.name, () => this.#consumer(name, spec), name);
    this.#need(this.#api(`STREAM.MSG.GET.${ATTEMPTS_STREAM}`), 'to read what is known of failing events');
    for (const action of ['CREATE', 'INFO', 'MSG.NEXT'])
      this.#need(this.#api(`CONSUMER.${action}.${CONFIG_STREAM}.>`), "to follow the fleet's configuration");
    this.#need(CONFIG_SUBJECTS[0] ?? '', "to change the fleet's configuration", false);
    await this.#targets();
    await this.#schedules();
    await this.#permissions();
    return this.#items;
  }

  /** Notes what comes of looking; what is refused is an answer too. */
  async #looked(
    kind: 'stream' | 'consumer',
    name: string,
    look: () => Promise<Omit<PlanItem, 'kind' | 'name'>>,
    entry = name,
  ) {
    try {
      this.#items.push({ kind, name, ...(await look()) });
    } catch (error) {
      const { code, message } = asOuzelError(error);
      if (code === 'NATS_UNAVAILABLE' || code === 'INTERNAL') throw error;
      const section = kind === 'stream' ? 'streams' : 'consumers';
      this.#items.push({ kind, name, action: 'refuse', detail: message, code, ...this.#place(section, entry) });
    }
  }

  #place(...path: readonly (string | number)[]): { readonly place?: string } {
    // The streams that Ouzel keeps for itself stand in no file.
    return path[0] === 'streams' && this.#config.streams[String(path[1])] === undefined
      ? {}
      : { place: formatPlace(this.#loaded.placeOf(path)) };
  }

  async #stream(spec: StreamSpec): Promise<Omit<PlanItem, 'kind' | 'name'>> {
    this.#need(this.#api(`STREAM.INFO.${spec.name}`), `to look at stream ${spec.name}`);
    const found = await findStream(this.#manager, spec.name);
    if (found !== undefined) this.#streams.set(spec.name, found);
    const plan = planStream(found?.config, spec);
    if (plan.action === 'none')
      return plan.kept.length === 0 ? { action: 'none' } : { action: 'keep', differences: plan.kept };
    const verb = plan.action === 'make' ? 'CREATE' : 'UPDATE';
    this.#need(this.#api(`STREAM.${verb}.${spec.name}`), `to ${plan.action} stream ${spec.name}`);
    await this.#checkOverlaps(spec);
    const state = {
      config: { subjects: spec.subjects },
      state: { last_seq: found?.state.last_seq ?? 0 },
      created: found?.created ?? '',
    };
    this.#streams.set(spec.name, state);
    return plan.action === 'make'
      ? { action: 'make', detail: spec.subjects.join(', ') }
      : { action: 'change', differences: plan.changed };
  }

  /** @throws OuzelError when another stream holds one of the subjects: no server takes that. */
  async #checkOverlaps({ name, subjects }: StreamSpec): Promise<void> {
    for (const subject of subjects) {
      const others = [...((await this.#holders(subject)) ?? []), ...this.#plannedHolders(subject)];
      const other = others.find((each) => each !== name);
      if (other !== undefined)
        throw new OuzelError('STREAM_REFUSED', `stream ${name}: ${subject} overlaps with what stream ${other} holds`);
    }
  }

  /** The streams of the server that hold some subject of a pattern; undefined where the user may not ask. */
  async #holders(pattern: string): Promise<string[] | undefined> {
    const names: string[] = [];
    try {
      for await (const name of this.#manager.streams.names(pattern)) names.push(name);
    } catch (error) {
      if (/permissions violation/i.test(asOuzelError(error).message)) return undefined;
      throw error;
    }
    return names;
  }

  #plannedHolders(pattern: string): string[] {
    return [...this.#streams]
      .filter(([, stream]) => stream?.config.subjects.some((each) => overlaps(each, pattern)) === true)
      .map(([name]) => name);
  }

  /** The durables of a consumer on its stream: its own, and those of its lanes. */
  #durables(name: string, revision: string): DurableSpec[] {
    const settings = this.#config.consumers[name];
    if (settings === undefined) throw new OuzelError('INTERNAL', `no consumer ${name}`);
    this.#flowNeeds(name, settings);
    const lanes = laneSpecs(name, settings, revision).map(({ spec }) => spec);
    return [durableSpec(name, settings, revision), ...lanes];
  }

  async #consumer(consumer: string, spec: DurableSpec): Promise<Omit<PlanItem, 'kind' | 'name'>> {
    const { name } = spec;
    if (spec.lane === undefined) this.#needsOf(spec);
    else this.#needsOfDurable(spec);
    if (spec.pinned) this.#needsOfPinned(spec);
    const stream = this.#streams.has(spec.stream)
      ? this.#streams.get(spec.stream)
      : await findStream(this.#manager, spec.stream);
    this.#streams.set(spec.stream, stream);
    const durable = await findDurable(this.#manager, spec.stream, name);
    const plan = planDurable({ stream, durable }, spec);
    if (this.#config.consumers[consumer]?.paused === true)
      return { action: 'none', detail: 'paused: its durable is left as it is' };
    if (plan.action === 'none') return { action: 'none' };
    if (plan.action === 'make') return { action: 'make', detail: `durable on ${spec.stream}, ${startOf(spec)}` };
    if (plan.changed.length > 0) return { action: 'change', differences: plan.changed };
    const adopted = plan.marks.some(({ field, server }) => field === 'ouzel.owner' && server === undefined);
    return {
      action: 'change',
      detail: adopted ? 'taken over (adopt: true)' : 'notes another revision of the configuration',
    };
  }

  /** What a consumer needs that runs on one instance at a time, and keeps an order. */
  #needsOfPinned({ name, stream }: DurableSpec): void {
    this.#need(this.#api(`CONSUMER.UNPIN.${stream}.${name}`), `to hand ${name} over to another instance`);
    this.#need(this.#api(`STREAM.MSG.GET.${LANE_STREAM}`), `to read what waits in the order of ${name}`);
    this.#need(this.#api(`STREAM.MSG.DELETE.${LANE_STREAM}`), `to end what waited in the order of ${name}`, false);
    this.#need(laneSubjects(name), `to store what waits in the order of ${name}`, false);
  }

  /** A lane shares what its consumer has beside its durable. */
  #needsOfDurable({ name, stream }: Pick<DurableSpec, 'name' | 'stream'>): void {
    this.#need(this.#api(`CONSUMER.INFO.${stream}.${name}`), `to look at the durable of ${name}`);
    this.#need(this.#api(`CONSUMER.CREATE.${stream}.${name}`), `to make the durable of ${name}`);
    this.#need(this.#api(`CONSUMER.MSG.NEXT.${stream}.${name}`), `to pull for ${name}`);
    // Fewer tokens than an ack has: nobody hears it. In a domain the subject holds the account, which is not known here.
    if (this.#config.nats.domain === undefined) this.#need(`$JS.ACK.${stream}.${name}.probe`, `to ack for ${name}`);
  }

  #needsOf({ name, stream }: Pick<DurableSpec, 'name' | 'stream'>): void {
    this.#needsOfDurable({ name, stream });
    this.#need(deadLetterSubject(name), `for the dead letters of ${name}`, false);
    this.#need(`${ATTEMPTS_PREFIX}${name}.>`, `to note failed attempts of ${name}`, false);
    this.#need(timerSubject(name, 'retry', '*'), `to park retries of ${name}`, false);
    if (stream === TIMER_STREAM) return;
    this.#needsOf({ name, stream: TIMER_STREAM });
  }

  /** What stages of a consumer store and read. */
  #flowNeeds(name: string, { debounce, dedupe, count }: ConsumerConfig): void {
    if (debounce !== undefined) {
      this.#need(heldSubject(name, '*'), `to hold events of ${name}`, false);
      this.#need(timerSubject(name, 'debounce', '*'), `to set alarms for ${name}`, false);
      this.#need(dueSubject(name), `to let held events of ${name} go on`, false);
      this.#need(this.#api(`STREAM.MSG.GET.${HELD_STREAM}`), 'to read what is held');
    }
    if (dedupe !== undefined) this.#need(`ouzel.seen.${name}.*`, `to remember events of ${name}`, false);
    if (count !== undefined) this.#need(`ouzel.counted.${name}.*`, `to count events of ${name}`, false);
    if ((dedupe ?? count) !== undefined)
      this.#need(this.#api(`STREAM.MSG.GET.${SEEN_STREAM}`), 'to read what is remembered');
  }

  /** What a consumer publishes needs a stream that takes it, and what it asks needs permission. */
  async #targets(): Promise<void> {
    for (const [consumer, { deliver, pipeline }] of Object.entries(this.#config.consumers)) {
      for (const stage of pipeline) {
        const asked = requestOf(typeof stage === 'string' ? this.#config.transformers[stage] : stage);
        if (asked !== undefined) this.#need(patternOf(asked.subject), `to ask for ${consumer}`, false);
        const bucket = bucketOf(typeof stage === 'string' ? this.#config.transformers[stage] : stage);
        if (bucket !== undefined)
          this.#need(this.#api(`DIRECT.GET.KV_${bucket}.$KV.${bucket}.>`), `to look up for ${consumer}`, false);
      }
      for (const [index, { to }] of (deliver ?? []).entries()) {
        const target = typeof to === 'string' ? this.#config.targets[to] : to;
        const asked = requestOf(target);
        if (asked !== undefined) this.#need(patternOf(asked.subject), `to ask for ${consumer}`, false);
        const published = publishOf(target) ?? asked?.reply?.publish;
        if (published === undefined) continue;
        const name = typeof to === 'string' ? to : `${consumer}.deliver[${index}]`;
        await this.#published(patternOf(published.subject), published.core === true, name, consumer, index);
      }
    }
  }

  /** What a schedule publishes needs a stream that takes it, and one that keeps how far it is. */
  async #schedules(): Promise<void> {
    const all = Object.entries(this.#config.sources).filter(([, { schedule }]) => schedule !== undefined);
    if (all.length === 0) return;
    await this.#looked('stream', SCHEDULES_STREAM, () => this.#stream(schedulesSpec(this.#config)));
    this.#need(this.#api(`STREAM.MSG.GET.${SCHEDULES_STREAM}`), 'to read how far schedules are');
    this.#need(`${SCHEDULES_PREFIX}>`, 'to note how far schedules are', false);
    for (const [name, { publish }] of all) {
      const pattern = patternOf(publish.subject);
      this.#need(pattern, `to publish for ${name}`, false);
      await this.#taken(pattern, 'source', name, 'Declare one under streams', ['sources', name, 'publish', 'subject']);
    }
  }

  async #published(pattern: string, core: boolean, name: string, consumer: string, index: number): Promise<void> {
    this.#need(pattern, `to publish for ${consumer}`, false);
    if (core) return;
    const hint = 'Declare one under streams, or publish with core: true';
    await this.#taken(pattern, 'target', name, hint, ['consumers', consumer, 'deliver', index]);
  }

  /** Notes where no stream takes what would be published. */
  async #taken(
    pattern: string,
    kind: 'target' | 'source',
    name: string,
    hint: string,
    path: readonly (string | number)[],
  ): Promise<void> {
    if (this.#plannedHolders(pattern).length > 0) return;
    const holders = await this.#holders(pattern);
    if (holders === undefined)
      this.#items.push({ kind, name, action: 'unknown', detail: `whether a stream takes ${pattern}` });
    if (holders === undefined || holders.length > 0) return;
    const detail = `no stream takes ${pattern}. ${hint}`;
    const place = this.#place(...path);
    this.#items.push({ kind, name, action: 'refuse', detail, code: 'TARGET_NO_STREAM', ...place });
  }

  async #permissions(): Promise<void> {
    const { missing, unknown } = await checkPermissions(this.#connection, [...this.#needs.values()]);
    for (const { subject, purpose } of missing)
      this.#items.push({
        kind: 'permission',
        name: shown(subject),
        action: 'refuse',
        detail: purpose,
        code: 'NATS_PERMISSION',
      });
    for (const { subject, purpose } of unknown)
      this.#items.push({
        kind: 'permission',
        name: shown(subject),
        action: 'unknown',
        detail: `whether it may be published: ${purpose}`,
      });
  }

  #need(subject: string, purpose: string, harmless = true): void {
    if (!this.#needs.has(subject)) this.#needs.set(subject, { subject, purpose, harmless });
  }

  #api(request: string): string {
    const { domain } = this.#config.nats;
    return domain === undefined ? `$JS.API.${request}` : `$JS.${domain}.API.${request}`;
  }
}

const PLACEHOLDER = '\u0000';

/** A subject in which each token that an event decides on is `*`. */
const patternOf = (subject: Template): string =>
  subject
    .skeleton(PLACEHOLDER)
    .split('.')
    .map((token) => (token.includes(PLACEHOLDER) ? '*' : token))
    .join('.');

/** The ack of a message has more tokens than what was tried. */
const shown = (subject: string): string => subject.replace(/^(\$JS\.ACK\..*)\.probe$/, '$1.>');

interface Published {
  readonly subject: Template;
  readonly core?: boolean;
}

/** The options of a stage or target of this kind. The schema of the component has made sure of what they are. */
const optionsOf = (entry: object | undefined, kind: string): unknown =>
  new Map<string, unknown>(Object.entries(entry ?? {})).get(kind);

const publishOf = (entry: object | undefined): Published | undefined =>
  optionsOf(entry, 'publish') as Published | undefined;

const requestOf = (
  entry: object | undefined,
): { readonly subject: Template; readonly reply?: { readonly publish: Published } } | undefined =>
  optionsOf(entry, 'request') as ReturnType<typeof requestOf>;

/** The bucket that a stage looks up in. */
const bucketOf = (entry: object | undefined): string | undefined =>
  (optionsOf(entry, 'lookup') as LookupOptions | undefined)?.kv?.bucket;

function startOf({ start }: DurableSpec): string {
  if (typeof start === 'string')
    return { new: 'from new events on', all: 'from the first event on', last: 'from the last event on' }[start];
  return 'time' in start ? `from ${start.time} on` : `from event ${start.sequence} on`;
}
