/** What a dashboard is made of, said without Grafana: a panel is a line of data, and `build.ts` makes it. */

export interface Query {
  readonly expr: string;
  /** `{{label}}` is filled in. */
  readonly legend: string;
}

export interface PanelSpec {
  readonly title: string;
  /** What it means, and what to do when it looks wrong. */
  readonly description: string;
  /** `line` over time, `stack` of rates, one `number`, `states` over time, or a `table` of labels. */
  readonly kind: 'line' | 'stack' | 'number' | 'states' | 'table';
  /** Grafana's: `short`, `s`, `bytes`, `percentunit`, `ops`, `bool`. */
  readonly unit: string;
  readonly queries: readonly Query[];
  /** What a number is called: `[value, text, colour]`. */
  readonly names?: readonly (readonly [value: number, text: string, colour: string])[];
  /** From this value on it is red; below, green. Numbers only. */
  readonly alarm?: number;
  /** Columns of 24. Default 8. */
  readonly width?: number;
}

export interface RowSpec {
  readonly title: string;
  readonly panels: readonly PanelSpec[];
}

export interface DashboardSpec {
  /** Stands in the URL, and in the file's name. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  /** Whether `$consumer` begins as all of them. */
  readonly allConsumers: boolean;
  readonly rows: readonly RowSpec[];
}

export const one = (expr: string, legend: string): readonly Query[] => [{ expr, legend }];
