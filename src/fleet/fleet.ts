/** The fleet's configuration as this instance sees it: followed in KV, put in force by the reloads, changed for all. */
import type { LoadedConfig } from '../config/load.ts';
import { type FleetLayer, fleetName } from '../config/fleet.ts';
import { formatPlace, OuzelError } from '../errors.ts';
import type { Reloads } from '../reconcile/reload.ts';
import type { Logger } from '../telemetry/log.ts';
import { type LayeredLoader, loadWithFleet } from './load.ts';
import {
  type Actor,
  type ChangeOutcome,
  type FleetAccess,
  type FleetResource,
  type Pause,
  RESOURCE_SECTIONS,
  type ResourceChange,
  type ResourceKey,
  type ResourceSection,
} from './ports.ts';
import type { ConfigStore, Entry, Write } from './store.ts';

export interface FleetOptions {
  readonly store: ConfigStore;
  readonly load: LayeredLoader;
  /** The configuration in force. */
  readonly current: () => LoadedConfig;
  readonly reloads: Reloads;
  readonly connected: () => boolean;
  /** A target was disabled or enabled, by whichever instance. */
  readonly targetsChanged: () => void;
  /** The bucket may be gone. */
  readonly missing: () => void;
  readonly logger: Logger;
}

/** How often a change is tried again that met another one. */
const TRIES = 3;
const PAUSED = 'paused';
/** Before the name of a target that is disabled. */
const DISABLED = 'disabled.';

const keyOf = ({ section, name }: ResourceKey): string => `${section}.${name}`;
const pauseKey = (consumer: string): string => `${PAUSED}.${consumer}`;

/** The resource that a key names; undefined for what this version does not know. */
function resourceKey(key: string): ResourceKey | undefined {
  const at = key.indexOf('.');
  const section = RESOURCE_SECTIONS.find((each) => each === key.slice(0, at));
  return section === undefined ? undefined : { section, name: key.slice(at + 1) };
}

/** Another instance changed a key since this one has seen it. */
class Stale extends Error {
  readonly keys: readonly string[];

  constructor(keys: readonly string[]) {
    super('stale');
    this.keys = keys;
  }
}

export class Fleet implements FleetAccess {
  readonly #options: FleetOptions;
  /** What the bucket holds, marks of what was removed included. */
  readonly #entries = new Map<string, Entry>();
  #aside: ReadonlyMap<string, string> = new Map();
  #open = false;
  #trouble = '';

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  /** Resources that are not in force here as they are stored, and why. */
  get aside(): ReadonlyMap<string, string> {
    return this.#aside;
  }

  /** Reads all that is there, and follows it from then on. @throws OuzelError NATS_UNAVAILABLE */
  async open(): Promise<void> {
    if (this.#open) return;
    const { store, reloads, logger, connected, missing } = this.#options;
    await store.watch({
      entry: (entry) => {
        if (entry.revision <= (this.#entries.get(entry.key)?.revision ?? 0)) return;
        this.#entries.set(entry.key, entry);
        this.#trouble = '';
        if (entry.key.startsWith(DISABLED)) this.#options.targetsChanged();
        else if (this.#open) reloads.ask();
      },
      madeAnew: () => this.#restore(),
      trouble: (reason) => {
        if (!connected()) return;
        missing();
        if (reason === this.#trouble) return;
        this.#trouble = reason;
        logger.warn(`the fleet's configuration cannot be followed: ${reason}`);
      },
    });
    this.#open = true;
  }

  close(): Promise<void> {
    return this.#options.store.close();
  }

  /** The files' configuration with the fleet's. @throws ConfigError for what is wrong in the files */
  async load(): Promise<LoadedConfig> {
    const { load, current } = this.#options;
    const { loaded, aside } = await loadWithFleet(load, this.#layer(), textsOf(current().fleet));
    this.#setAside(aside);
    return loaded;
  }

  list(section?: ResourceSection): readonly FleetResource[] {
    return resourcesOf([...this.#entries.values()]).filter((each) => section === undefined || each.section === section);
  }

  get(key: ResourceKey): FleetResource | undefined {
    const entry = this.#entries.get(keyOf(key));
    return entry?.text === undefined ? undefined : asResource(entry)[0];
  }

  async history(key: ResourceKey): Promise<readonly FleetResource[]> {
    return (await this.#options.store.history(keyOf(key))).flatMap((entry) => asResource(entry));
  }

  async change(
    changes: readonly ResourceChange[],
    actor: Actor,
    { dryRun = false }: { readonly dryRun?: boolean } = {},
  ): Promise<ChangeOutcome> {
    return this.#repeated(async () => {
      for (const change of changes) this.#check(change);
      const real = changes.filter((change) => this.get(change)?.text !== change.text);
      // What was looked at is what must still be there: another instance's change may come in meanwhile.
      const writes = this.#writes(real);
      const { load, current } = this.#options;
      const layer = layerWith(current().fleet, real);
      const loaded = await load(layer);
      const now = (): FleetResource[] => changes.flatMap((change) => this.get(change) ?? []);
      if (dryRun || real.length === 0) return { resources: now(), consumers: undefined };
      const consumers = await this.#put(loaded, writes, actor);
      return { resources: now(), consumers };
    });
  }

  async pause(consumer: string, paused: boolean, actor: Actor): Promise<void> {
    await this.#repeated(async () => {
      const { load, current } = this.#options;
      const { config, fleet, placeOf } = current();
      const settings = config.consumers[consumer];
      if (settings === undefined) throw new OuzelError('NOT_FOUND', `there is no consumer "${consumer}"`);
      if (paused === settings.paused) return;
      if (!paused && fleet?.paused.has(consumer) !== true) {
        const place = formatPlace(placeOf(['consumers', consumer, 'paused']));
        throw new OuzelError('CONFLICT', `its configuration pauses "${consumer}", at ${place}: resume it there`);
      }
      const names = new Set(fleet?.paused);
      if (paused) names.add(consumer);
      else names.delete(consumer);
      const key = pauseKey(consumer);
      const write = { key, text: paused ? 'true' : undefined, expected: this.#entries.get(key)?.revision ?? 0 };
      await this.#put(await load({ resources: fleet?.resources ?? [], paused: names }), [write], actor);
    });
  }

  pauseOf(consumer: string): Pause | undefined {
    const entry = this.#entries.get(pauseKey(consumer));
    return entry?.text === undefined ? undefined : { by: entry.by, at: entry.at };
  }

  /** Targets that are disabled for all instances, by the names of their breakers, with what was stored of each. */
  get disabled(): ReadonlyMap<string, Entry & { readonly text: string }> {
    const found = new Map<string, Entry & { readonly text: string }>();
    for (const { key, text, ...entry } of this.#entries.values())
      if (key.startsWith(DISABLED) && text !== undefined)
        found.set(key.slice(DISABLED.length), { key, text, ...entry });
    return found;
  }

  /**
   * Disables a target for all instances, or enables it. It is not the configuration that changes.
   *
   * @param text What is to be known of it; undefined enables it.
   * @returns False when another instance was faster: what it stored holds.
   * @throws OuzelError NATS_UNAVAILABLE
   */
  async setDisabled(target: string, text: string | undefined, actor: Actor): Promise<boolean> {
    const key = DISABLED + target;
    const known = this.#entries.get(key);
    if (known?.text === undefined && text === undefined) return true;
    const revisions = await this.#options.store.write([{ key, text, expected: known?.revision ?? 0 }], actor);
    const [revision] = revisions ?? [];
    if (revision === undefined) return false;
    this.#entries.set(key, { key, text, revision, by: actor, at: new Date().toISOString() });
    this.#options.targetsChanged();
    return true;
  }

  /** Checks and builds a change, stores it for all, and puts it in force here. */
  #put(loaded: LoadedConfig, writes: readonly Write[], actor: Actor): Promise<ChangeOutcome['consumers']> {
    const { store, reloads } = this.#options;
    return reloads.change(loaded, async () => {
      const revisions = await store.write(writes, actor);
      if (revisions === undefined) throw new Stale(writes.map(({ key }) => key));
      const at = new Date().toISOString();
      for (const [index, { key, text }] of writes.entries())
        this.#entries.set(key, { key, text, revision: revisions[index] ?? 0, by: actor, at });
    });
  }

  /** One change at a time, and again when another instance was faster: what the request expects is checked anew then. */
  async #repeated<Result>(work: () => Promise<Result>): Promise<Result> {
    const { reloads, connected } = this.#options;
    for (let tries = 1; ; tries++) {
      if (!connected()) throw new OuzelError('NATS_UNAVAILABLE', "NATS is away, and the fleet's configuration with it");
      try {
        return await reloads.exclusively(work);
      } catch (error) {
        if (!(error instanceof Stale)) throw error;
        if (tries === TRIES)
          throw new OuzelError('CONFLICT', 'others keep changing it: look at it again, and repeat the change');
        await this.#catchUp(error.keys);
      }
    }
  }

  /** Reads keys anew that somebody else changed. They are put in force before the next change. */
  async #catchUp(keys: readonly string[]): Promise<void> {
    const { store, reloads } = this.#options;
    for (const key of keys) {
      const [entry] = await store.history(key);
      if (entry !== undefined && entry.revision > (this.#entries.get(key)?.revision ?? 0))
        this.#entries.set(key, entry);
    }
    reloads.ask();
  }

  /** @throws OuzelError CONFIG_OWNED_BY_FILE, NOT_FOUND, CONFLICT */
  #check(change: ResourceChange): void {
    const { section, name, text, expected } = change;
    const { config, placeOf } = this.#options.current();
    const known = this.get(change);
    const place = placeOf([section, name]);
    if (Object.hasOwn(config[section], name) && known === undefined && !place.file.startsWith('fleet:'))
      throw new OuzelError(
        'CONFIG_OWNED_BY_FILE',
        `${section}/${name} stands in a file, at ${formatPlace(place)}: change it there`,
        { place },
      );
    if (text === undefined && known === undefined && expected === undefined)
      throw new OuzelError('NOT_FOUND', `the fleet has no ${section}/${name}`);
    if (expected !== undefined && expected !== (known?.revision ?? 0))
      throw new OuzelError(
        'CONFLICT',
        known === undefined
          ? `${section}/${name} is not there (any more)`
          : `${section}/${name} is at revision ${known.revision}, not ${expected === 0 ? 'absent' : expected}`,
      );
  }

  /** Puts before removals, and what others may need first, for whoever follows with an older version. */
  #writes(changes: readonly ResourceChange[]): Write[] {
    const rank = ({ section, text }: ResourceChange): number => {
      const at = RESOURCE_SECTIONS.indexOf(section);
      return text === undefined ? 100 - at : at;
    };
    const write = (key: string, text: string | undefined): Write => ({
      key,
      text,
      expected: this.#entries.get(key)?.revision ?? 0,
    });
    const writes = changes.toSorted((a, b) => rank(a) - rank(b)).map((change) => write(keyOf(change), change.text));
    // A pause goes with its consumer: one that is made again runs.
    const pauses = changes
      .filter(({ section, name, text }) => section === 'consumers' && text === undefined && this.pauseOf(name))
      .map(({ name }) => write(pauseKey(name), undefined));
    return [...writes, ...pauses];
  }

  #layer(): FleetLayer {
    return layerOf([...this.#entries.values()]);
  }

  #setAside(aside: ReadonlyMap<string, string>): void {
    for (const [name, reason] of aside)
      if (this.#aside.get(name) !== reason)
        this.#options.logger.error(`${name} of the fleet's configuration is not put in force here\n${reason}`);
    this.#aside = aside;
  }

  /** The bucket was deleted by somebody, and made anew. What it held is put back, unless another instance has done so. */
  #restore(): void {
    const { store, logger } = this.#options;
    const held = [...this.#entries.values()].filter(({ text }) => text !== undefined);
    this.#entries.clear();
    logger.warn({ resources: held.length }, "the fleet's configuration was gone from the server, and is put back");
    for (const { key, text, by } of held)
      store.write([{ key, text, expected: 0 }], by).catch((error: unknown) => {
        logger.error({ key, error: String(error) }, 'it could not be put back');
      });
  }
}

const asResource = ({ key, ...entry }: Entry): FleetResource[] => {
  const known = resourceKey(key);
  return known === undefined ? [] : [{ ...known, ...entry }];
};

const resourcesOf = (entries: readonly Entry[]): FleetResource[] =>
  entries
    .flatMap((entry) => asResource(entry))
    .filter((each) => each.text !== undefined)
    .sort((a, b) => keyOf(a).localeCompare(keyOf(b)));

/** The consumers that are paused at run time, with who did so. */
export const pausesOf = (entries: readonly Entry[]): ReadonlyMap<string, Pause> =>
  new Map(
    entries
      .filter(({ key, text }) => key.startsWith(pauseKey('')) && text !== undefined)
      .map(({ key, by, at }) => [key.slice(pauseKey('').length), { by, at }]),
  );

/** What the bucket holds, as a layer of the configuration. */
export const layerOf = (entries: readonly Entry[]): FleetLayer => ({
  resources: resourcesOf(entries).map(({ section, name, text = '' }) => ({ section, name, text })),
  paused: new Set(pausesOf(entries).keys()),
});

const textsOf = (layer: FleetLayer | undefined): Map<string, string> =>
  new Map(layer?.resources.map((each) => [fleetName(each), each.text]));

/** What is in force, with changes: what is set aside stays so. */
function layerWith(layer: FleetLayer | undefined, changes: readonly ResourceChange[]): FleetLayer {
  const resources = new Map(layer?.resources.map((each) => [fleetName(each), each]));
  const paused = new Set(layer?.paused);
  for (const { section, name, text } of changes) {
    if (text === undefined) resources.delete(fleetName({ section, name }));
    else resources.set(fleetName({ section, name }), { section, name, text });
    if (text === undefined && section === 'consumers') paused.delete(name);
  }
  return { resources: [...resources.values()], paused };
}
