import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from '../../../src/config/fields.ts';
import { parse } from './helpers.ts';

const V = 'version: 1\n';

describe('a configuration that holds', () => {
  it('has its defaults', () => {
    const { config, files } = parse(V);
    expect(config).toEqual({
      version: 1,
      defaults: {
        timeout: 30_000,
        retry: { attempts: 5, backoff: { first: 1000, factor: 2, max: 300_000, jitter: 0.2 }, for: 86_400_000 },
      },
      runtime: {},
      nats: { servers: ['nats://127.0.0.1:4222'], system: { replicas: 1 } },
      http: { listen: { host: '127.0.0.1', port: 9464 }, drain: 35_000 },
      telemetry: { traces: { endpoint: '', sample: 1 }, log: { level: 'info', format: 'auto' } },
      streams: {},
      filters: {},
      transformers: {},
      types: {},
      sources: {},
      targets: {},
      consumers: {},
      plugins: { dir: '/etc/plugins' },
      access: [],
    });
    expect(files).toEqual(['/etc/test/ouzel.yaml']);
    expect(parse(`${V}consumers: { c: { stream: A } }\n`).config.consumers['c']).toEqual({
      stream: 'A',
      start: 'new',
      pipeline: [],
      prefetch: 2000,
      failing: { errors: 10, within: 300_000 },
      paused: false,
      adopt: false,
      on_remove: 'keep',
    });
  });

  it('may take what Ouzel says about itself from a stream that nobody declares', () => {
    const { config } = parse(
      `${V}streams: { EVENTS: { subjects: ["events.>"] } }\nconsumers: { ops: { stream: OUZEL_EVENTS, types: [dead_letter, "consumer.*"], subjects: [ouzel.events.dead_letter] } }\n`,
    );
    expect(config.consumers['ops']?.stream).toBe('OUZEL_EVENTS');
  });

  it('may have sections without entries', () => {
    expect(parse(`${V}filters:\n  # a: true\nconsumers:\n`).config.filters).toEqual({});
  });

  it('is the sample', () => {
    const { config } = parse(readFileSync('config/ouzel.yaml', 'utf8'));
    expect(Object.keys(config.consumers)).toEqual(['billing', 'signups', 'callbacks', 'everything']);
    expect(config.nats.servers).toEqual(['nats://127.0.0.1:4222']);
    expect(config.streams['EVENTS']?.subjects).toEqual(['events.>']);
  });

  it('may be written in one line each, as DESIGN.md does', () => {
    const { config } = parse(`version: 1
defaults: { timeout: 30s, retry: { attempts: 5, backoff: { first: 1s, factor: 2, max: 5m, jitter: 0.2 }, for: 24h } }
nats: { servers: "\${NATS_URL:-nats://127.0.0.1:4222}", system: { replicas: 1 } }
http: { listen: 127.0.0.1:9464, drain: 35s }
telemetry: { traces: { endpoint: '', sample: 1 }, log: { level: info, format: auto } }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", key: event.data.id, max_age: 7d }
filters:
  big: event.data.total > 1000
  not-test: '!event.source.startsWith("test/")'
  n: 1
transformers:
  with-vat: { set: { data.vat: event.data.total * 0.2 }, remove: [data.card] }
targets:
  partner: { publish: { subject: "x" }, retry: { attempts: 8, give_up: error.status == 409 } }
consumers:
  billing:
    stream: EVENTS
    types: [orders.created, "orders.*"]
    start: { sequence: 5 }
    concurrency: { max: 16 }
    pipeline: [not-test, big, with-vat, { filter: event.data.x > 1 }, { set: { data.x: null, data.y: [1, "2", { z: true }] } }]
    deliver:
      - { name: large, when: filters.big && event.data.total > 5000, stop: true, to: { publish: { subject: "alerts.{{ event.data.customer }}" } } }
      - { to: partner }
      - { to: log, else: true }
`);
    expect(config.consumers['billing']?.pipeline).toHaveLength(5);
    expect(config.targets['partner']?.retry?.give_up?.source).toBe('error.status == 409');
    expect(config.filters['n']).toHaveProperty('source', '1');
  });

  it('gives every expression its place', () => {
    const loaded = parse(`${V}filters:
  a: 'event.data.x'
  b: |
    true
consumers:
  c: { stream: A, deliver: [{ when: filters.a, to: { log: { message: "{{ event.id }}" } } }] }
`);
    const { filters, consumers } = loaded.config;
    expect(filters['a']).toHaveProperty('place', { file: 'ouzel.yaml', line: 3, column: 6 });
    expect(filters['b']).toHaveProperty('place', { file: 'ouzel.yaml', line: 4, column: 6 });
    expect(consumers['c']?.deliver?.[0]?.when?.place).toEqual({ file: 'ouzel.yaml', line: 7, column: 37 });
    expect(loaded.placeOf(['consumers', 'c'])).toEqual({ file: 'ouzel.yaml', line: 7, column: 3 });
    expect(loaded.placeOf(['consumers', 'c', 'deliver', 0, 'to', 'log', 'nowhere'])).toMatchObject({
      line: 7,
      column: 54,
    });
  });

  it('may use anchors, aliases and merges', () => {
    const { config } = parse(`${V}consumers:
  a: &base { stream: A, prefetch: 5, paused: true }
  b: { <<: *base, prefetch: 6 }
  c: { paused: false, <<: [*base, { adopt: true }] }
`);
    expect(config.consumers['b']).toMatchObject({ stream: 'A', prefetch: 6, paused: true });
    expect(config.consumers['c']).toMatchObject({ stream: 'A', prefetch: 5, paused: false, adopt: true });
  });

  it('may take a stream that it does not declare', () => {
    const streams = (declared: string, used: string) => () =>
      parse(`${V}streams: { ${declared}: { subjects: [a] } }\nconsumers: { c: { stream: ${used} } }\n`);
    expect(streams('EVENTS', 'ORDERS')).not.toThrow();
    expect(streams('EVENTS1', 'EVENTS2')).not.toThrow();
    expect(streams('EVENTS_EU', 'EVENTS_US')).not.toThrow();
    expect(streams('EVENTS', 'EVENST')).toThrow(/did you mean "EVENTS"/);
    expect(streams('EVENTS', 'events')).toThrow(/did you mean "EVENTS"/);
  });

  it('has no names that every JavaScript object has', () => {
    for (const name of ['toString', 'valueOf', 'hasOwnProperty', 'constructor', '__defineGetter__'])
      expect(() => parse(`${V}filters: { ${name}: "true" }\n`)).toThrow(/cannot be a name/);
    expect(() => parse(`${V}consumers: { c: { stream: A, pipeline: [toString] } }\n`)).toThrow(
      /no filter or transformer "toString"/,
    );
  });

  it('resolves paths against its own folder', () => {
    const seed = `SU${'A'.repeat(56)}`;
    const { config } = parse(`${V}nats: { creds: a.creds, tls: { ca: ../ca.pem, cert: c.pem, key: /k } }\n`);
    expect(config.nats).toMatchObject({
      creds: '/etc/test/a.creds',
      tls: { ca: '/etc/ca.pem', cert: '/etc/test/c.pem', key: '/k' },
    });
    expect(parse(`${V}nats: { nkey: my.nk }\n`).config.nats.nkey).toBe('/etc/test/my.nk');
    expect(parse(`${V}nats: { nkey: ${seed} }\n`).config.nats.nkey).toBe(seed);
  });

  it.each([
    ['127.0.0.1:80', '127.0.0.1', 80],
    ['"[::1]:0"', '::1', 0],
    ['":80"', '0.0.0.0', 80],
    ['localhost:65535', 'localhost', 65_535],
  ])('listens on %s', (text, host, port) => {
    expect(parse(`${V}http: { listen: ${text} }\n`).config.http.listen).toEqual({ host, port });
  });

  it('has the same hash for the same values, however they are written', () => {
    const hash = parse(`${V}nats: { user: a }\n`).hash;
    expect(parse(`# comment\n${V}nats:\n    user: "a"\n`).hash).toBe(hash);
    expect(parse(`${V}nats: { user: b }\n`).hash).not.toBe(hash);
  });
});

describe('durations', () => {
  it.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
    ['1h30m', 5_400_000],
    ['0s', 0],
  ])('%s is %d ms', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each(['', '5', 's', '5x', '5 s', '-5s', '1e3s', '5sm', '5S', ' 5s'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it.each([0, 1, 999, 1000, 90_000, 5_400_000, 86_400_000, 694_861_001])(
    '%d is written and read again',
    (milliseconds) => {
      const text = formatDuration(milliseconds);
      expect(milliseconds === 0 ? 0 : parseDuration(text)).toBe(milliseconds);
    },
  );
});

describe('sizes', () => {
  it.each([
    ['1', 1],
    ['5B', 5],
    ['64KiB', 65_536],
    ['1.5MiB', 1_572_864],
    ['10MB', 10_000_000],
    ['1GiB', 2 ** 30],
    ['1TB', 1e12],
  ])('%s is %d', (text, bytes) => {
    expect(parse(`${V}streams: { A: { subjects: [a], max_bytes: ${text} } }\n`).config.streams['A']?.max_bytes).toBe(
      bytes,
    );
  });

  it.each(['5kb', '-1', '1.5', '0', 'KiB', '5 MiB'])('%s is none', (text) => {
    expect(() => parse(`${V}streams: { A: { subjects: [a], max_bytes: ${text} } }\n`)).toThrow(/max_bytes/);
  });
});
