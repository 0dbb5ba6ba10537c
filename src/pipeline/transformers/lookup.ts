import { z } from 'zod';
import { optionalShape, present } from '../../config/components.ts';
import { duration, expression, type IssueDetails, path, size } from '../../config/fields.ts';
import { PENDING, type Run, type Verdict } from '../../core/run.ts';
import { OuzelError } from '../../errors.ts';
import { Fault, toJson, toText } from '../../expression/index.ts';
import { LookupCache } from '../../lookup/cache.ts';
import { Flights } from '../../lookup/flights.ts';
import { type Answer, type LookupSource, MISSING, type SourceComponent } from '../../lookup/source.ts';
import { sources } from '../../lookup/sources/index.ts';
import { definePipelineComponent, type StageContext } from '../component.ts';
import { faultError } from '../faults.ts';
import { EventEditor } from '../slots.ts';

const SOURCES: readonly SourceComponent[] = sources;

const TTL = 60_000;
const NEGATIVE = 5_000;

const cacheOptions = z.strictObject({
  ttl: duration().default(TTL).describe('How long a value is taken for what it was.'),
  negative: duration({ min: 0 })
    .default(NEGATIVE)
    .describe('The same for a key under which there was nothing, if that is shorter. 0: not at all.'),
  max: z.number().int().min(1).max(1_000_000).default(10_000).describe('Values at most; the least recently used go.'),
  size: size().default(67_108_864).describe('Bytes at most, about.'),
});

const options = z
  .strictObject({
    ...optionalShape(sources),
    key: expression()
      .optional()
      .describe(
        'What is looked up: text, a number, true or false. An empty optional (`event.data.?customer`) means that there is nothing to look up. Not needed with `http`, or with `params` of `sql`.',
      ),
    into: path().describe('Where the value goes.'),
    select: expression('lookup')
      .optional()
      .describe('What is taken of it: an expression that sees it as `value`. Default: all of it.'),
    cache: z
      .union([z.literal('none'), duration(), cacheOptions])
      .prefault({})
      .describe('How long values are kept: a duration, `none`, or all of it. Of no effect with `file`.'),
    missing: z
      .enum(['skip', 'fail'])
      .default('skip')
      .describe(
        'What becomes of an event for which there is nothing: it goes on as it is, or into the dead letters with the reason `missing_lookup`.',
      ),
  })
  .superRefine((value, context) => {
    present(value, context, sources, 'exactly one');
    const [source, given] = sourceOf(value) ?? [];
    if (source === undefined || value.key !== undefined || !source.needsKey(given)) return;
    const params: IssueDetails = { code: 'CONFIG_MISSING_KEY', hint: 'for example key: event.data.customer' };
    const message = `a lookup in \`${source.name}\` needs a \`key\``;
    context.addIssue({ code: 'custom', message, params: { ...params } });
  });

export type LookupOptions = z.output<typeof options>;

/** The source that is given, and its options. */
function sourceOf(value: object): readonly [SourceComponent, unknown] | undefined {
  const given = new Map<string, unknown>(Object.entries(value));
  const source = SOURCES.find(({ name }) => given.get(name) !== undefined);
  return source === undefined ? undefined : [source, given.get(source.name)];
}

function cacheOf(cache: LookupOptions['cache']): LookupCache | undefined {
  if (cache === 'none') return undefined;
  const settings = cacheOptions.parse({});
  const { ttl, negative, max, size: bytes } = typeof cache === 'number' ? { ...settings, ttl: cache } : cache;
  return new LookupCache({ ttl, negative: Math.min(ttl, negative), max, size: bytes });
}

const shown = (key: unknown): string => {
  const text = typeof key === 'string' ? JSON.stringify(key) : toText(key);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
};

/** Looks values up for the events of one stage. */
class Lookup {
  readonly #options: LookupOptions;
  readonly #context: StageContext;
  readonly #source: LookupSource;
  readonly #where: string;
  readonly #cache: LookupCache | undefined;
  readonly #flights: Flights;
  readonly #key: ReturnType<StageContext['bind']> | undefined;
  readonly #select: ReturnType<StageContext['bind']> | undefined;
  readonly #counts: Readonly<Record<'hit' | 'found' | 'missing' | 'failed', { increment(): void }>>;

  constructor(given: LookupOptions, context: StageContext) {
    const [source, settings] = sourceOf(given) ?? [];
    if (source === undefined) throw new OuzelError('INTERNAL', 'a lookup without a source');
    this.#options = given;
    this.#context = context;
    this.#where = source.name;
    this.#key = given.key === undefined ? undefined : context.bind(given.key);
    this.#select = given.select === undefined ? undefined : context.bind(given.select);
    this.#source = source.prepare(settings, { ...context, ...context.lookups });
    const cache = cacheOf(given.cache);
    this.#cache = cache;
    this.#flights = new Flights((id, answer) => cache?.put(id, answer));
    const { lookups } = context;
    this.#counts = {
      hit: lookups.count('hit'),
      found: lookups.count('found'),
      missing: lookups.count('missing'),
      failed: lookups.count('failed'),
    };
  }

  run(run: Run): Verdict {
    const key = this.#keyOf(run);
    if (key === undefined && this.#key !== undefined) return undefined;
    const question = this.#source.question(run, key);
    if (question === undefined) return undefined;
    if (question === MISSING || !('ask' in question)) return this.#answered(run, key, question);
    const known = this.#cache?.get(question.id);
    if (known !== undefined) {
      this.#counts.hit.increment();
      return this.#finish(run, key, known);
    }
    const { shows } = this.#context.lookups;
    if (shows !== undefined) {
      shows(question.preview());
      return undefined;
    }
    this.#flights.ask(question, run.signal, {
      answered: (answer) => {
        if (run.decided) return;
        try {
          this.#answered(run, key, answer);
        } catch (error) {
          return run.fail(error);
        }
        run.resume();
      },
      failed: (error) => {
        this.#counts.failed.increment();
        run.fail(error);
      },
    });
    return PENDING;
  }

  close(): void {
    this.#source.close?.();
  }

  /** The key as JSON; undefined for an empty optional, and where there is none. @throws OuzelError EVENT_* */
  #keyOf(run: Run): unknown {
    const { key } = this.#options;
    if (this.#key === undefined || key === undefined) return undefined;
    const value = this.#key(run);
    if (value instanceof Fault) {
      if (value.kind === 'missing_field') this.#context.missing(value.path ?? key.source);
      throw faultError(value, key);
    }
    const json = toJson(value);
    if (typeof json === 'object' && json !== null)
      throw new OuzelError(
        'EVENT_EXPRESSION',
        `\`${key.source}\` is ${Array.isArray(json) ? 'a list' : 'a mapping'}, which no key can be`,
        {
          place: key.place,
        },
      );
    return json;
  }

  #answered(run: Run, key: unknown, answer: Answer): undefined {
    this.#counts[answer === MISSING ? 'missing' : 'found'].increment();
    return this.#finish(run, key, answer);
  }

  /** Writes what was found. @throws OuzelError EVENT_MISSING_LOOKUP, and what `select` and paths do */
  #finish(run: Run, key: unknown, answer: Answer): undefined {
    const { missing, into, key: source } = this.#options;
    if (answer !== MISSING) {
      const value = this.#selected(run, answer.value);
      if (value !== undefined) new EventEditor(run.event).set(into, value);
      return undefined;
    }
    if (missing === 'skip') return undefined;
    const what = source === undefined ? '' : ` under ${shown(key)}`;
    throw new OuzelError(
      'EVENT_MISSING_LOOKUP',
      `${this.#context.name}: there is nothing${what} in \`${this.#where}\``,
      {
        place: source?.place,
      },
    );
  }

  #selected(run: Run, value: unknown): unknown {
    const { select } = this.#options;
    if (this.#select === undefined || select === undefined) return value;
    const selected = this.#select({ event: run.event, msg: run, now: run.now, value });
    if (!(selected instanceof Fault)) return toJson(selected);
    if (selected.kind === 'missing_field') this.#context.missing(selected.path ?? select.source);
    throw faultError(selected, select);
  }
}

/** Looks something up about the event and puts it in. */
export const lookup = definePipelineComponent({
  name: 'lookup',
  kind: 'transformer',
  summary: 'Looks a value up in a KV bucket, a file, a web server or a database, and writes it into the event.',
  example: '{ kv: customers, key: event.data.customer, into: data.profile, cache: 5m, missing: skip }',
  options,
  compile(given, context) {
    const looking = new Lookup(given, context);
    return { name: context.name, run: (run) => looking.run(run), close: () => looking.close() };
  },
});
