import { CONTRACT, type Metric } from '../../plugins/metrics/contract.ts'
import type { Label } from '../../plugins/metrics/labels.ts'
import { ALERTS } from './alerts.ts'

const ENTRIES = Object.entries<Metric>(CONTRACT)

/** docs/metrics.md. */
export function docs(): string {
  const parts = [
    ['Of servers and workers', ENTRIES.filter(([, metric]) => metric.roles.length === 2)],
    ['Of servers', ENTRIES.filter(([, metric]) => metric.roles.join() === 'server')],
    ['Of workers', ENTRIES.filter(([, metric]) => metric.roles.join() === 'worker')],
  ] as const
  return `# Metrics

Made by \`npm run metrics\` from the [contract](../plugins/metrics/contract.ts) and the [alerts](../deploy/metrics/alerts.ts); change those. The plugin [\`@noetl/metrics\`](../plugins/metrics) serves them under \`/metrics\`, on every server and on the health port of every worker.

Stable metrics keep name, type, unit and labels within a major version. No label holds an id, a path, a step or a text of an error. Every series is there from the start, at 0. Metrics marked *shared* are read from Postgres or NATS when someone scrapes, and are the same on every server: take \`max\` over servers, not \`sum\`. All others are of their process: take \`sum\`.

${parts.map(([title, entries]) => `## ${title}\n\n${table(entries)}`).join('\n\n')}

## Labels

| label | of | values | bound | meaning |
| --- | --- | --- | --- | --- |
${labels().join('\n')}

## Alerts

[\`deploy/prometheus/alerts.yaml\`](../deploy/prometheus/alerts.yaml), tested with \`promtool test rules deploy/prometheus/alerts.test.yaml\`. The dashboard is [\`deploy/grafana/noetl.json\`](../deploy/grafana/noetl.json).

| alert | severity | after | says | what to do |
| --- | --- | --- | --- | --- |
${ALERTS.map(
  ({ name, severity, for: after, summary, action }) =>
    `| \`${name}\` | ${severity} | ${after} | ${cell(summary.replace(/\{\{ \$labels\.(\w+) \}\}/g, '<$1>'))} | ${cell(action)} |`,
).join('\n')}
`
}

function table(entries: readonly (readonly [string, Metric])[]): string {
  const rows = entries.map(([name, { type, unit, labels, meaning, stability, shared, buckets }]) => {
    const marks = [...(stability === 'stable' ? [] : [stability]), ...(shared ? ['*shared*'] : [])]
    const bounds = buckets === undefined ? '' : ` Buckets: ${buckets.join(', ')}.`
    const names = labels.map((label) => `\`${label.name}\``).join(', ')
    return `| \`${name}\` | ${type} | ${unit} | ${names} | ${cell(meaning)}${bounds} | ${marks.join(', ')} |`
  })
  return `| metric | type | unit | labels | meaning | |\n| --- | --- | --- | --- | --- | --- |\n${rows.join('\n')}`
}

/** Labels of one name with other values are rows of their own. */
function labels(): string[] {
  const rows = new Map<string, { label: Label; of: string[] }>()
  for (const [name, metric] of ENTRIES) {
    for (const label of metric.labels) {
      const key = `${label.name} ${label.values.join()} ${label.meaning}`
      const row = rows.get(key) ?? { label, of: [] }
      row.of.push(`\`${name}\``)
      rows.set(key, row)
    }
  }
  return [...rows.values()].map(({ label: { name, values, meaning, most }, of }) => {
    const shown = values.map((value) => `\`${value}\``).join(', ')
    return `| \`${name}\` | ${of.join(', ')} | ${shown} | ${most === undefined ? 'these' : `${most}, then \`other\``} | ${cell(meaning)} |`
  })
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}
