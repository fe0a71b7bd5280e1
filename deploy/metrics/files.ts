import { dashboard } from './dashboard.ts'
import { docs } from './docs.ts'
import { alertRules, alertTests } from './rules.ts'

/** Every file that is made, with what makes it. */
export const FILES: Readonly<Record<string, () => string>> = {
  'docs/metrics.md': docs,
  'deploy/grafana/noetl.json': dashboard,
  'deploy/prometheus/alerts.yaml': alertRules,
  'deploy/prometheus/alerts.test.yaml': alertTests,
}
