import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { CONTRACT, type LabelsOf, type Metric, type MetricName, type NamesOf } from './contract.ts'
import { type Label, OTHER } from './labels.ts'

/** The metrics of one role, each series of which is there from the start. */
export interface Instruments {
  registry: Registry
  count<N extends NamesOf<'counter'>>(name: N, labels: LabelsOf<N>, by?: number): void
  observe<N extends NamesOf<'histogram'>>(name: N, labels: LabelsOf<N>, value: number): void
  set<N extends NamesOf<'gauge'>>(name: N, labels: LabelsOf<N>, value: number): void
  /** Sets all series of a gauge that there are. */
  setAll(name: NamesOf<'gauge'>, value: number): void
}

export function makeInstruments(role: 'server' | 'worker', kinds: readonly string[]): Instruments {
  const registry = new Registry()
  const bounds = new Map<string, Bound>()
  const counters = new Map<string, Counter>()
  const gauges = new Map<string, Gauge>()
  const histograms = new Map<string, Histogram>()
  /** Label sets that a metric had. Their number is the product of its labels' bounds at most. */
  const seen = new Map<string, Map<string, Record<string, string>>>()

  const boundOf = (label: Label): Bound => {
    // Labels of one name may differ in their values, as outcomes do.
    const key = `${label.name} ${label.values.join()}`
    let bound = bounds.get(key)
    if (bound === undefined) {
      bound = makeBound(label.name === 'tool_kind' ? { ...label, values: kinds } : label)
      bounds.set(key, bound)
    }
    return bound
  }

  for (const [name, metric] of Object.entries<Metric>(CONTRACT)) {
    if (!metric.roles.includes(role)) continue
    const about = { name, help: metric.meaning, registers: [registry] }
    const labelNames = metric.labels.map((label) => label.name)
    seen.set(name, new Map())
    if (metric.type === 'counter') counters.set(name, new Counter({ ...about, labelNames }))
    else if (metric.type === 'gauge') gauges.set(name, new Gauge({ ...about, labelNames }))
    else histograms.set(name, new Histogram({ ...about, labelNames, buckets: [...metric.buckets!] }))
    for (const labels of product(metric.labels.map((label) => [label.name, boundOf(label).values()]))) {
      remember(name, labels)
      counters.get(name)?.inc(labels, 0)
      gauges.get(name)?.set(labels, 0)
      histograms.get(name)?.zero(labels)
    }
  }

  function remember(name: string, labels: Record<string, string>): void {
    seen.get(name)?.set(Object.values(labels).join('\0'), labels)
  }

  /** The labels with values beyond their bounds folded into one. */
  function folded(name: MetricName, given: Readonly<Record<string, string>>): Record<string, string> {
    const labels: Record<string, string> = {}
    for (const label of CONTRACT[name].labels as readonly Label[]) {
      labels[label.name] = boundOf(label).fold(given[label.name] ?? '')
    }
    return labels
  }

  return {
    registry,
    count: (name, labels, by = 1) => counters.get(name)?.inc(folded(name, labels), by),
    observe: (name, labels, value) => histograms.get(name)?.observe(folded(name, labels), value),
    set(name, given, value) {
      const labels = folded(name, given)
      remember(name, labels)
      gauges.get(name)?.set(labels, value)
    },
    setAll(name, value) {
      for (const labels of seen.get(name)?.values() ?? []) gauges.get(name)?.set(labels, value)
    },
  }
}

interface Bound {
  fold(value: string): string
  values(): string[]
}

/** At most `most` values, the first ones that come; with no bound given, those of the contract alone. */
function makeBound({ values, most = values.length }: Label): Bound {
  const known = new Set(values)
  return {
    fold(value) {
      if (known.has(value)) return value
      if (value === '' || known.size >= most) return OTHER
      known.add(value)
      return value
    },
    values: () => [...known],
  }
}

/** All combinations of the labels' values; of no labels, the empty one. */
function product(labels: [string, string[]][]): Record<string, string>[] {
  return labels.reduce<Record<string, string>[]>(
    (sets, [name, values]) => sets.flatMap((set) => values.map((value) => ({ ...set, [name]: value }))),
    [{}],
  )
}
