import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ALERTS } from '../../../deploy/metrics/alerts.ts'
import { ROWS } from '../../../deploy/metrics/dashboard.ts'
import { testGateway } from '../../support/gateway.ts'
import { testPrometheus } from '../../support/prometheus.ts'
import { until } from '../../support/wait.ts'

const RULES = fileURLToPath(new URL('../../../deploy/prometheus/alerts.yaml', import.meta.url))
const PLAYBOOK = `metadata: {path: many}
workflow:
  - step: start
    loop: {in: "{{ range(20) | list }}", iterator: n}
    tool: {kind: shell, command: "echo {{ n }}"}`

t.test(
  'prometheus: a real one scrapes server and worker, and answers what dashboard and alerts ask',
  async (t) => {
    const gateway = await testGateway(t, {
      plugins: ['@noetl/metrics', '@noetl/tool-shell'],
      env: { NOETL_WORKER_PORT: '0' },
    })
    const prometheus = await testPrometheus(t, {
      targets: { server: gateway.server.url, worker: gateway.worker!.url! },
      rules: RULES,
    })
    const sum = async (expression: string) =>
      (await prometheus.query(expression)).reduce((sum, { value }) => sum + value, 0)
    await until('both targets to be up', async () => (await sum('up')) === 2)
    const before = await sum('noetl_executions_finished_total')
    t.equal(before, 0, 'the series is there before anything has ended')
    t.equal((await gateway.run(PLAYBOOK)).status, 'COMPLETED')
    await until('the figures of the run', async () => {
      const finished = await sum('noetl_commands_finished_total{tool_kind="shell",outcome="ok"}')
      return finished === 20 && (await sum('noetl_worker_commands_total{outcome="ok"}')) === 20
    })
    // A rise from a series that was there at zero is seen as one.
    await until('the increase', async () => (await sum('increase(noetl_executions_finished_total[1m])')) > 0)
    const quantile =
      'histogram_quantile(0.5, sum by (le) (rate(noetl_tool_run_duration_seconds_bucket{tool_kind="shell"}[1m])))'
    await until('a quantile', async () => (await sum(quantile)) > 0)
    const expressions = [
      ...ALERTS.map((alert) => alert.expression),
      ...Object.values(ROWS).flatMap((panels) =>
        panels.flatMap(([, , ...targets]) =>
          targets.map(([expression]) => expression.replaceAll('$__rate_interval', '1m')),
        ),
      ),
    ]
    for (const expression of expressions) await t.resolves(prometheus.query(expression), expression)
    const { groups } = (await prometheus.get('/api/v1/rules')) as {
      groups: { file: string; rules: { name: string; health: string; state: string; lastError?: string }[] }[]
    }
    const rules = groups.flatMap((group) => group.rules)
    t.same(rules.map(({ name }) => name).sort(), ALERTS.map(({ name }) => name).sort())
    for (const { name, health, state, lastError } of rules) {
      t.not(health, 'err', `${name}: ${lastError}`)
      t.equal(state, 'inactive', `${name} is silent while all is well`)
    }
    t.equal(join(groups[0]!.file), RULES)
  },
)
