/** The alert rules: of metrics that exist, each with a runbook and a test of its own. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { METRICS } from '../../../src/telemetry/names.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

interface Rules {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
}
interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook: string };
}
interface RuleTests {
  readonly tests: readonly { readonly alert_rule_test: readonly { alertname: string; exp_alerts: unknown[] }[] }[];
}

const rules = (parse(read('grafana/alerts/ouzel.rules.yaml')) as Rules).groups.flatMap((group) => group.rules);

test('every metric of an alert exists', () => {
  const known = new Set<string>(Object.values(METRICS).map(({ name }) => name));
  for (const { alert, expr } of rules)
    expect(
      (expr.match(/\bouzel_\w+/g) ?? []).filter((name) => !known.has(name)),
      alert,
    ).toEqual([]);
});

test('every alert has a runbook that is about it, and every runbook an alert', () => {
  for (const { alert, annotations, labels } of rules) {
    expect(read(annotations.runbook)).toContain(`# ${alert}\n`);
    expect(read('docs/runbooks/README.md')).toContain(
      `| [${alert}](${annotations.runbook.split('/').at(-1)}) | ${labels.severity} |`,
    );
  }
  const pages = readdirSync(join(ROOT, 'docs/runbooks')).filter((file) => file !== 'README.md');
  expect(new Set(pages)).toEqual(new Set(rules.map(({ annotations }) => annotations.runbook.split('/').at(-1))));
});

test('every alert has a test in which it comes', () => {
  const { tests } = parse(read('grafana/alerts/ouzel.rules.test.yaml')) as RuleTests;
  const cases = tests.flatMap(({ alert_rule_test }) => alert_rule_test);
  for (const { alert } of rules) {
    const of = cases.filter(({ alertname }) => alertname === alert);
    expect(
      of.some(({ exp_alerts }) => exp_alerts.length > 0),
      alert,
    ).toBe(true);
  }
});
