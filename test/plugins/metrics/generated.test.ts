import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ALERTS } from '../../../deploy/metrics/alerts.ts'
import { ROWS } from '../../../deploy/metrics/dashboard.ts'
import { FILES } from '../../../deploy/metrics/files.ts'
import { CONTRACT, type Metric } from '../../../plugins/metrics/index.ts'
import { testFolder } from '../../support/folder.ts'
import { promtool } from '../../support/prometheus.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

t.test('contract: what is made from it is what is committed', async (t) => {
  for (const [file, make] of Object.entries(FILES)) {
    t.equal(make(), read(file), `${file} is up to date; else type: npm run metrics`)
  }
})

t.test('contract: names, units, labels and buckets are as Prometheus wants them', async (t) => {
  for (const [name, { type, unit, labels, buckets, meaning }] of Object.entries<Metric>(CONTRACT)) {
    t.match(name, /^(noetl|process)_[a-z]+(_[a-z]+)*$/)
    t.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
    if (unit === 'seconds' || unit === 'bytes') t.match(name, new RegExp(`_${unit}(_total)?$`))
    if (unit === 'info') t.match(name, /_info$/)
    t.equal(buckets !== undefined, type === 'histogram', `${name} has buckets if it is a histogram`)
    t.same(buckets, buckets && [...buckets].sort((a, b) => a - b))
    t.match(meaning, /\.$/)
    t.ok(labels.length <= 3)
    // Of these, each process has as many as it has plugins.
    if (unit === 'info') continue
    const most = labels.reduce((product, { values, most = values.length }) => product * most, 1)
    t.ok(most <= 4000, `${name} has ${most} series at most`)
    for (const { name } of labels) t.notMatch(name, /^(le|quantile|job|instance)$|_id$/)
  }
})

/** Names of metrics in an expression, without what histograms add. */
const metricsOf = (expression: string) =>
  [...expression.matchAll(/\b(?:noetl|process)_\w+/g)].map(([name]) =>
    name.replace(/_(bucket|sum|count)$/, ''),
  )

t.test('alerts and dashboard: they name metrics of the contract, the dashboard all of them', async (t) => {
  const shown = new Set<string>()
  for (const panels of Object.values(ROWS)) {
    for (const [title, , ...targets] of panels) {
      for (const [expression] of targets) {
        t.ok(metricsOf(expression).length > 0, title)
        for (const name of metricsOf(expression)) shown.add(name)
      }
    }
  }
  t.same([...shown].sort(), Object.keys(CONTRACT).sort())
  for (const { name, expression } of ALERTS) {
    for (const metric of metricsOf(expression)) t.ok(Object.hasOwn(CONTRACT, metric), `${name}: ${metric}`)
  }
})

t.test(
  'alerts: promtool finds no fault in the rules, and each speaks and is silent as it should',
  async (t) => {
    const cwd = join(ROOT, 'deploy/prometheus')
    const checked = await promtool(['check', 'rules', 'alerts.yaml'], { cwd })
    t.ok(checked.ok, checked.said)
    t.match(checked.said, `${ALERTS.length} rules found`)
    const tested = await promtool(['test', 'rules', 'alerts.test.yaml'], { cwd })
    t.ok(tested.ok, tested.said)
  },
)

t.test('alerts: their test notices a rule that never speaks, and one that always does', async (t) => {
  const cwd = await testFolder(t, 'alerts')
  writeFileSync(join(cwd, 'alerts.test.yaml'), read('deploy/prometheus/alerts.test.yaml'))
  const rules = read('deploy/prometheus/alerts.yaml')
  for (const [wrong, what] of [
    ['vector(1) < 0', 'speaks'],
    ['vector(1)', 'is silent'],
  ] as const) {
    writeFileSync(join(cwd, 'alerts.yaml'), rules.replace(/expr:.*/g, `expr: ${wrong}`))
    const { ok, said } = await promtool(['test', 'rules', 'alerts.test.yaml'], { cwd })
    t.notOk(ok)
    for (const { name } of ALERTS) {
      const noticed = said.split('\n').some((line) => line.includes(`alertname: ${name},`))
      t.ok(noticed, `${name} that no longer ${what} is noticed`)
    }
  }
})
