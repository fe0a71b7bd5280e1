import { stringify } from 'yaml'
import { ALERTS, type Alert } from './alerts.ts'

const HEAD = '# Made by `npm run metrics` from deploy/metrics/alerts.ts.\n'
const text = (value: unknown) => HEAD + stringify(value, { lineWidth: 0 })

/** The rules that Prometheus loads. */
export function alertRules(): string {
  const rules = ALERTS.map((alert) => ({
    alert: alert.name,
    expr: alert.expression,
    for: alert.for,
    labels: { severity: alert.severity },
    annotations: { summary: alert.summary, description: alert.action },
  }))
  return text({ groups: [{ name: 'noetl', rules }] })
}

/** For `promtool test rules`: every alert speaks where it should, and is silent beside it. */
export function alertTests(): string {
  return text({
    rule_files: ['alerts.yaml'],
    evaluation_interval: '1m',
    tests: ALERTS.flatMap((alert) => [
      caseOf(alert, 'speaks', alert.speaks, [
        {
          exp_labels: { severity: alert.severity, ...alert.speaks.labels },
          exp_annotations: { summary: filled(alert), description: alert.action },
        },
      ]),
      caseOf(alert, 'is silent', alert.silent, []),
    ]),
  })
}

function caseOf(
  { name }: Alert,
  what: string,
  { series, after }: Alert['silent'],
  exp_alerts: readonly object[],
): object {
  return {
    name: `${name} ${what}`,
    interval: '1m',
    input_series: Object.entries(series).map(([series, values]) => ({ series, values })),
    alert_rule_test: [{ eval_time: after, alertname: name, exp_alerts }],
  }
}

/** The summary with its labels in place. */
function filled({ summary, speaks }: Alert): string {
  return summary.replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, name: string) => speaks.labels?.[name] ?? '')
}
