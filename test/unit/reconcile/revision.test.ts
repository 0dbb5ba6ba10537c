import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.ts';
import { consumerRevision } from '../../../src/reconcile/revision.ts';

const BASE = `version: 1
streams:
  EVENTS: { subjects: ["events.>"], source: "filters.local ? 'here' : 'there'" }
  OTHER: { subjects: ["other.>"] }
filters:
  big: event.data.total > 1000 && filters.deep
  deep: event.data.x == 1
  local: event.data.local == true
  routed: event.data.r == 1
  patient: error.status != 1
  unused: event.data.u == 1
transformers:
  vat: { set: { data.vat: "filters.deep ? 1 : 2", data.b: "2" } }
  unused-t: { remove: [data.a] }
targets:
  out: { publish: { subject: out.x } }
  unused-target: { publish: { subject: other.y } }
consumers:
  billing:
    stream: EVENTS
    pipeline: [big, vat]
    deliver: [{ to: out, when: filters.routed }, { name: logged, to: log }]
  other:
    stream: OTHER
`.replace('  patient: error.status != 1\n', '');

const revision = (text: string, name = 'billing', env: Record<string, string> = {}): string => {
  const { source, config } = parseConfig(text, '/etc/test/ouzel.yaml', { env, cwd: '/etc/test' });
  return consumerRevision(source, config, name);
};

const changed = (from: string, to: string, text = BASE): string => {
  expect(text).toContain(from);
  return text.replace(from, to);
};

describe('the revision of a consumer', () => {
  it('is the same for the same configuration', () => expect(revision(BASE)).toBe(revision(BASE)));

  it.each<[name: string, from: string, to: string]>([
    ['its own entry', 'pipeline: [big, vat]', 'pipeline: [vat, big]'],
    ['a route', 'when: filters.routed', 'when: "!filters.routed"'],
    ['a filter of its pipeline', 'total > 1000', 'total > 1001'],
    ['a filter that this one uses', 'event.data.x == 1', 'event.data.x == 2'],
    ['a filter that a route uses', 'event.data.r == 1', 'event.data.r == 2'],
    ["a filter that the stream's source uses", 'event.data.local == true', 'event.data.local == false'],
    ['a transformer', 'data.b: "2"', 'data.b: "3"'],
    ['a target', 'subject: out.x', 'subject: out.z'],
    ['its stream', "'here'", "'elsewhere'"],
    ['the defaults', 'version: 1\n', 'version: 1\ndefaults: { timeout: 5s }\n'],
  ])('changes with %s', (_name, from, to) => expect(revision(changed(from, to))).not.toBe(revision(BASE)));

  it.each<[name: string, from: string, to: string]>([
    ['another consumer', '    stream: OTHER', '    stream: OTHER\n    prefetch: 5'],
    ['another stream', '["other.>"]', '["other.>", "more.>"]'],
    ['a filter that it does not use', 'event.data.u == 1', 'event.data.u == 2'],
    ['a transformer that it does not use', 'remove: [data.a]', 'remove: [data.b]'],
    ['a target that it does not use', 'subject: other.y', 'subject: other.z'],
    ['a new consumer', 'consumers:\n', 'consumers:\n  third: { stream: OTHER }\n'],
    ['the log', 'version: 1\n', 'version: 1\ntelemetry: { log: { level: debug } }\n'],
    ['a comment', 'version: 1\n', 'version: 1\n# a comment\n'],
    ['quotes', 'stream: EVENTS', 'stream: "EVENTS"'],
    [
      'the order of keys',
      'set: { data.vat: "filters.deep ? 1 : 2", data.b: "2" }',
      'set: { data.b: "2", data.vat: "filters.deep ? 1 : 2" }',
    ],
    ['the order of sections', '  unused-t: { remove: [data.a] }\n', ''],
  ])('does not change with %s', (_name, from, to) => expect(revision(changed(from, to))).toBe(revision(BASE)));

  it('changes with a variable that it uses, and no other', () => {
    const text = changed(
      'subject: out.x',
      'subject: "${OUT}.x"',
      changed('subject: other.y', 'subject: "${UNUSED}.x"'),
    );
    const base = revision(text, 'billing', { OUT: 'a', UNUSED: 'b' });
    expect(revision(text, 'billing', { OUT: 'z', UNUSED: 'b' })).not.toBe(base);
    expect(revision(text, 'billing', { OUT: 'a', UNUSED: 'z' })).toBe(base);
  });

  it('differs between consumers', () => expect(revision(BASE, 'other')).not.toBe(revision(BASE)));
});
