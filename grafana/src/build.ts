/** Makes Grafana's dashboards of what `panels.ts` describes. */
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  MappingType,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import {
  BigValueColorMode,
  BigValueGraphMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as StatesBuilder } from '@grafana/grafana-foundation-sdk/statetimeline';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as LinesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { METRICS } from '../../src/telemetry/names.ts';
import type { DashboardSpec, PanelSpec } from './panels.ts';

const SOURCE = { type: 'prometheus', uid: '${datasource}' };
const HEIGHT = 8;
const NUMBER_HEIGHT = 4;

/** A dashboard as Grafana reads it. */
export function buildDashboard(spec: DashboardSpec): Dashboard {
  const dashboard = new DashboardBuilder(spec.title)
    .uid(spec.uid)
    .description(spec.description)
    .tags(['ouzel'])
    .time({ from: 'now-1h', to: 'now' })
    .refresh('10s')
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .link(
      new DashboardLinkBuilder('Ouzel')
        .type(DashboardLinkType.Dashboards)
        .tags(['ouzel'])
        .includeVars(true)
        .keepTime(true),
    )
    .withVariable(new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'))
    .withVariable(variable('consumer', 'Consumer', METRICS.consumerState.name, spec.allConsumers))
    .withVariable(variable('instance', 'Instance', METRICS.buildInfo.name, true));
  for (const { title, panels } of spec.rows) {
    dashboard.withRow(new RowBuilder(title));
    for (const panel of panels) dashboard.withPanel(buildPanel(panel));
  }
  return dashboard.build();
}

function variable(name: string, label: string, metric: string, all: boolean): QueryVariableBuilder {
  const query = `label_values(${metric}, ${name})`;
  const built = new QueryVariableBuilder(name)
    .label(label)
    .datasource(SOURCE)
    .query({ query, refId: name, qryType: 1 })
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.NaturalAsc)
    .multi(true)
    .includeAll(true);
  return all ? built.current({ selected: true, text: 'All', value: '$__all' }) : built;
}

type AnyBuilder = StatBuilder | StatesBuilder | TableBuilder | LinesBuilder;

function buildPanel(spec: PanelSpec): AnyBuilder {
  const panel = { line: lines, stack: lines, number, states, table }[spec.kind](spec);
  panel
    .title(spec.title)
    .description(spec.description)
    .datasource(SOURCE)
    .unit(spec.unit)
    .span(spec.width ?? 8)
    .height(spec.kind === 'number' ? NUMBER_HEIGHT : HEIGHT);
  spec.queries.forEach(({ expr, legend }, index) => {
    const query = new DataqueryBuilder()
      .refId(String.fromCodePoint('A'.charCodeAt(0) + index))
      .datasource(SOURCE)
      .expr(expr)
      .legendFormat(legend);
    panel.withTarget(spec.kind === 'table' ? query.instant().format(PromQueryFormat.Table) : query.range());
  });
  if (spec.names !== undefined) panel.mappings([mapping(spec.names)]);
  return panel;
}

const mapping = (names: NonNullable<PanelSpec['names']>): ValueMapping => ({
  type: MappingType.ValueToText,
  options: Object.fromEntries(names.map(([value, text, color], index) => [String(value), { text, color, index }])),
});

const legend = (): VizLegendOptionsBuilder =>
  new VizLegendOptionsBuilder()
    .displayMode(LegendDisplayMode.Table)
    .placement(LegendPlacement.Bottom)
    .showLegend(true)
    .calcs(['lastNotNull', 'max']);

function lines({ kind }: PanelSpec): LinesBuilder {
  const panel = new LinesBuilder()
    .legend(legend())
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .showPoints(VisibilityMode.Never)
    .lineWidth(1)
    .fillOpacity(kind === 'stack' ? 25 : 5)
    .min(0);
  return kind === 'stack' ? panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A')) : panel;
}

function number({ alarm }: PanelSpec): StatBuilder {
  const panel = new StatBuilder()
    .colorMode(BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.Area)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']));
  if (alarm === undefined) return panel;
  return panel.thresholds(
    new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps([
      { value: null, color: 'green' },
      { value: alarm, color: 'red' },
    ]),
  );
}

const states = (): StatesBuilder => new StatesBuilder().mergeValues(true).showValue(VisibilityMode.Never).lineWidth(0);

const table = (): TableBuilder => new TableBuilder().showHeader(true);
