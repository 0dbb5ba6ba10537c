export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
}

/** What a scrape returned. */
export class Metrics {
  readonly samples: readonly Sample[];

  constructor(text: string) {
    this.samples = text.split('\n').flatMap(parseLine);
  }

  /** The samples of this name that have these labels, whatever others they have. */
  select(name: string, labels: Labels = {}): Sample[] {
    const wanted = Object.entries(labels);
    return this.samples.filter((s) => s.name === name && wanted.every(([key, value]) => s.labels[key] === value));
  }

  /** Their sum; 0 where there is none. */
  total(name: string, labels: Labels = {}): number {
    return this.select(name, labels).reduce((sum, sample) => sum + sample.value, 0);
  }
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

function parseLine(line: string): Sample[] {
  const [, name, labelText, value] = LINE.exec(line) ?? [];
  if (name === undefined || value === undefined) return [];
  const labels: Record<string, string> = {};
  for (const [, key, text] of (labelText ?? '').matchAll(LABEL)) {
    if (key !== undefined && text !== undefined)
      labels[key] = text.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
  }
  return [{ name, labels, value: value === '+Inf' ? Infinity : value === '-Inf' ? -Infinity : Number(value) }];
}
