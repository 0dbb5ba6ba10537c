/** A configuration that is loaded again says the same as one that is loaded for the first time. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigCache } from '../../../src/config/cache.ts';
import { YamlCache } from '../../../src/config/chunks.ts';
import { ConfigError, type LoadedConfig, parseConfig, type ParseOptions } from '../../../src/config/load.ts';
import { SourceFile, type SourceNode } from '../../../src/config/source.ts';
import { eachExpression } from '../../../src/config/walk.ts';
import { readYaml, type YamlDocument } from '../../../src/config/yaml.ts';
import { revisionsOf } from '../../../src/reconcile/build.ts';
import { mutate, mutateLines, random } from './mutate.ts';

const SAMPLE = readFileSync('config/ouzel.yaml', 'utf8');

const MANY = `# A configuration with what people write.
version: 1
nats: { servers: "\${NATS:-nats://127.0.0.1:4222}" }
streams:
  # first
  EVENTS: { subjects: ["events.>"], key: event.data.id }

  OTHER:
    subjects:
    - other.>
filters: # all of them
  long: >-
    event.data.a == 1
    && event.data.b

  literal: |
    event.data.total > 10

# between sections
  # and further in
targets:
  partner:
    webhook: { url: "https://user:\${file:/run/secrets/partner}@partner.example/in" }
    retry: { attempts: 8, give_up: error.status == 409 }

consumers:

  first:
    stream: EVENTS
    concurrency: { max: "\${MAX:-4}" }
    pipeline:
      - long
      - { filter: "event.data.n > 1",
          }
      - set:
          data.a: "'text
            more'"
    deliver: [{ to: partner }]
  second:
    stream: OTHER   # why
    pipeline: [literal]
    deliver:
    - to: log
      when: filters.long
`;

const OPTIONS: ParseOptions = {
  env: {},
  cwd: '/etc/test',
  readFile: () => new TextEncoder().encode('hunter2!'),
};

/** All that can be seen of a configuration, or of why there is none. */
function outcome(text: string, options: ParseOptions): unknown {
  let loaded: LoadedConfig;
  try {
    loaded = parseConfig(text, '/etc/test/ouzel.yaml', options);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { problems: error.problems, files: error.files };
  }
  const { config, source, file, files, hash, placeOf, redact } = loaded;
  const expressions: unknown[] = [];
  eachExpression(config, ({ source: written, place }, path) => expressions.push([path, written, place]));
  const places = Object.entries(config).flatMap(([section, entries]) =>
    Object.keys(entries).map((name) => placeOf([section, name])),
  );
  const revisions = [...revisionsOf(loaded)];
  // An expression stands for what was written; where it stands is compared above.
  const plain = JSON.stringify(config, (_, value: unknown) =>
    typeof value === 'object' && value !== null && 'filterNames' in value && 'source' in value ? value.source : value,
  );
  return { plain, source, file, files, hash, places, expressions, revisions, redacted: redact('a hunter2! b') };
}

/** The ends of collections are nobody's business: they are shown by their beginning. */
const shown = ({ file, key, span, token, children }: SourceNode): unknown => ({
  text: file.text,
  key,
  start: span.start,
  end: children.size > 0 ? undefined : span.end,
  token,
  children: [...children].map(([name, child]) => [name, shown(child)]),
});

const read = ({ root, ...rest }: YamlDocument): unknown => ({ ...rest, root: shown(root) });

describe('a configuration that is loaded again', () => {
  it.each([
    ['the sample', SAMPLE],
    ['many styles', MANY],
  ])('is the same as one that is loaded anew, whatever was changed in %s', { timeout: 120_000 }, (_, sample) => {
    const next = random(17);
    const cache = new ConfigCache();
    let text = sample;
    for (let count = 0; count < 120; count++) {
      const options = { ...OPTIONS, env: next() < 0.2 ? { MAX: '7', NATS: 'nats://127.0.0.1:1' } : {} };
      const anew = outcome(text, options);
      expect(outcome(text, { ...options, cache }), text).toEqual(anew);
      const failed = typeof anew === 'object' && anew !== null && 'problems' in anew;
      const base = failed && next() < 0.8 ? sample : text;
      text = next() < 0.8 ? mutateLines(base, next) : mutate(base, next);
    }
  });

  it.each([1, 2, 3, 4])('has its values at the same places, seed %d', { timeout: 60_000 }, (seed) => {
    const next = random(seed);
    const cache = new YamlCache();
    let text = MANY;
    for (let count = 0; count < 250; count++) {
      const file = new SourceFile('ouzel.yaml', text);
      const anew = readYaml(file);
      expect(read(cache.read(file)), text).toEqual(read(anew));
      const base = anew.problems.length > 0 || count % 20 === 0 ? MANY : text;
      text = next() < 0.8 ? mutateLines(base, next) : mutate(base, next);
    }
  });

  it('keeps the entries that did not change, and nothing of those that did', () => {
    const cache = new ConfigCache();
    const load = (text: string) => parseConfig(text, '/etc/test/ouzel.yaml', { ...OPTIONS, cache }).config;
    const before = load(MANY);
    const after = load(MANY.replace('stream: OTHER   # why', 'stream: EVENTS # why'));
    expect(after.consumers['first']).toBe(before.consumers['first']);
    expect(after.targets['partner']).toBe(before.targets['partner']);
    expect(after.filters['long']).toBe(before.filters['long']);
    expect(after.consumers['second']).not.toBe(before.consumers['second']);
    expect(after.consumers['second']?.stream).toBe('EVENTS');
  });

  it('forgets what left it', () => {
    const cache = new ConfigCache();
    const load = (text: string) => parseConfig(text, '/etc/test/ouzel.yaml', { ...OPTIONS, cache }).config;
    const before = load(MANY).consumers['second'];
    load(MANY.slice(0, MANY.indexOf('  second:')));
    expect(load(MANY).consumers['second']).not.toBe(before);
  });

  it('has its expressions where they are now', () => {
    const cache = new ConfigCache();
    const load = (text: string) => parseConfig(text, '/etc/test/ouzel.yaml', { ...OPTIONS, cache });
    load(MANY);
    const { config, placeOf } = load(MANY.replace('filters:', '# one line\n# and another\nfilters:'));
    const line = MANY.slice(0, MANY.indexOf('when: filters.long')).split('\n').length + 2;
    expect(config.consumers['second']?.deliver?.[0]?.when?.place).toMatchObject({ line, column: 13 });
    expect(placeOf(['consumers', 'second', 'deliver', 0])).toMatchObject({ line: line - 1 });
  });

  it('notices what stands in other files and in the environment', () => {
    const cache = new ConfigCache();
    const load = (env: Record<string, string>, secret: string) =>
      parseConfig(MANY, '/etc/test/ouzel.yaml', {
        ...OPTIONS,
        env,
        cache,
        readFile: () => new TextEncoder().encode(secret),
      });
    const first = load({}, 'hunter2!');
    const second = load({ MAX: '9' }, 'correct-horse');
    expect([first, second].map(({ config }) => config.consumers['first']?.concurrency?.max)).toEqual([4, 9]);
    expect(second.hash).not.toBe(first.hash);
    expect(second.redact('correct-horse')).toBe('***');
    expect(JSON.stringify([first.source, second.source])).not.toMatch(/hunter2|correct-horse/);
    expect(revisionsOf(second)).not.toEqual(revisionsOf(first));
    expect(load({ MAX: '9' }, 'correct-horse').config.consumers['first']).toBe(second.config.consumers['first']);
  });

  it('leaves the plugins their options', () => {
    const cache = new ConfigCache();
    const text = `version: 1\ntransformers:\n  geo: { plugin: geo, options: { precision: [2] } }\n`;
    const load = () => parseConfig(text, '/etc/test/ouzel.yaml', { ...OPTIONS, cache });
    const { options } = load().config.transformers['geo'] ?? {};
    Object.assign(options ?? {}, { precision: 'what a plugin made of it' });
    expect(load().config.transformers['geo']).toEqual({ plugin: 'geo', options: { precision: [2] } });
  });

  it('takes the resources of the fleet the same way', () => {
    const cache = new ConfigCache();
    const resource = { section: 'consumers', name: 'third', text: 'stream: EVENTS\npipeline: [long]\n' };
    const load = (text: string) =>
      parseConfig(MANY, '/etc/test/ouzel.yaml', {
        ...OPTIONS,
        cache,
        fleet: { resources: [{ ...resource, text }], paused: new Set(['second']) },
      }).config.consumers;
    const before = load(resource.text);
    const after = load(resource.text);
    expect(after['third']).toBe(before['third']);
    expect(after['second']).toBe(before['second']);
    expect(after['second']?.paused).toBe(true);
    expect(load(resource.text.replace('long', 'literal'))['third']?.pipeline).toEqual(['literal']);
  });
});
