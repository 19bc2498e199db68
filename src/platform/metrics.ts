/**
 * A very small registry of figures, rendered in Prometheus' text format. Counters and gauges with labels, and summaries
 * kept as count, sum and maximum: enough to see rates, levels and how long things take, without a dependency.
 */
export type Labels = Readonly<Record<string, string>>;
type Kind = 'counter' | 'gauge' | 'summary';

interface Family {
  readonly kind: Kind;
  readonly help: string;
  readonly series: Map<string, { value: number; count: number; most: number }>;
}

/** Series of one name; more are a label that grows without bound (an id of a session, say), which is a defect. */
const seriesMax = 10_000;

export class Metrics {
  readonly #families = new Map<string, Family>();

  counter(name: string, help: string): { add(amount: number, labels?: Labels): void } {
    const family = this.#family(name, 'counter', help);
    return {
      add: (amount, labels) => {
        this.#at(family, labels).value += amount;
      },
    };
  }

  /** `replace`: these are all there are; what is not among them is gone. */
  gauge(
    name: string,
    help: string,
  ): {
    set(value: number, labels?: Labels): void;
    replace(series: Iterable<readonly [Labels, number]>): void;
  } {
    const family = this.#family(name, 'gauge', help);
    const set = (value: number, labels?: Labels) => {
      this.#at(family, labels).value = value;
    };
    return {
      set,
      replace: (series) => {
        family.series.clear();
        for (const [labels, value] of series) set(value, labels);
      },
    };
  }

  summary(name: string, help: string): { observe(value: number, labels?: Labels): void } {
    const family = this.#family(name, 'summary', help);
    return {
      observe: (value, labels) => {
        const series = this.#at(family, labels);
        series.count += 1;
        series.value += value;
        series.most = Math.max(series.most, value);
      },
    };
  }

  render(): string {
    const lines: string[] = [];
    for (const [name, family] of [...this.#families].sort(([a], [b]) => (a < b ? -1 : 1))) {
      lines.push(`# HELP ${name} ${family.help.replaceAll('\n', ' ')}`, `# TYPE ${name} ${family.kind}`);
      for (const [labels, series] of family.series) {
        if (family.kind !== 'summary') lines.push(`${name}${labels} ${series.value}`);
        else lines.push(`${name}_count${labels} ${series.count}`, `${name}_sum${labels} ${series.value}`);
      }
      if (family.kind === 'summary') {
        lines.push(`# HELP ${name}_max ${family.help} (most)`, `# TYPE ${name}_max gauge`);
        for (const [labels, series] of family.series) lines.push(`${name}_max${labels} ${series.most}`);
      }
    }
    return `${lines.join('\n')}\n`;
  }

  #family(name: string, kind: Kind, help: string): Family {
    let family = this.#families.get(name);
    if (!family) {
      family = { kind, help, series: new Map() };
      this.#families.set(name, family);
    }
    if (family.kind !== kind) throw new Error(`${name} is a ${family.kind}`);
    return family;
  }

  #at(family: Family, labels: Labels = {}) {
    const names = Object.keys(labels).sort();
    const text = names.map((name) => `${name}="${labels[name]!.replace(/[\\"\n]/g, '_')}"`).join(',');
    const key = text === '' ? '' : `{${text}}`;
    let series = family.series.get(key);
    if (!series) {
      if (family.series.size >= seriesMax) throw new Error('too many series');
      series = { value: 0, count: 0, most: 0 };
      family.series.set(key, series);
    }
    return series;
  }
}
