/** The Grafana dashboard, row by row. Each panel: title, unit, and expressions with their legends. */
type Panel = readonly [
  title: string,
  unit: string,
  ...targets: (readonly [expression: string, legend: string])[],
]

const rate = (metric: string, by = '') =>
  by === '' ? `sum(rate(${metric}[$__rate_interval]))` : `sum by (${by}) (rate(${metric}[$__rate_interval]))`
const quantiles = (metric: string, by = ''): (readonly [string, string])[] =>
  [0.5, 0.95, 0.99].map((q) => [
    `histogram_quantile(${q}, sum by (${by === '' ? 'le' : `le, ${by}`}) (rate(${metric}_bucket[$__rate_interval])))`,
    `p${q * 100}${by === '' ? '' : ` {{${by}}}`}`,
  ])

export const ROWS: Readonly<Record<string, readonly Panel[]>> = {
  Executions: [
    [
      'Started and finished',
      'ops',
      [rate('noetl_executions_started_total'), 'started'],
      [rate('noetl_executions_finished_total', 'outcome'), '{{outcome}}'],
    ],
    ['Duration', 's', ...quantiles('noetl_execution_duration_seconds')],
    [
      'Commands finished',
      'ops',
      [rate('noetl_commands_finished_total', 'tool_kind, outcome'), '{{tool_kind}} {{outcome}}'],
    ],
    ['Commands put into the queue', 'ops', [rate('noetl_commands_enqueued_total', 'lane'), '{{lane}}']],
  ],
  Queue: [
    ['Commands', 'short', ['max by (lane, state) (noetl_queue_commands)', '{{lane}} {{state}}']],
    ['Age of the oldest ready one', 's', ['max by (lane) (noetl_queue_oldest_age_seconds)', '{{lane}}']],
    [
      'Ready, and no worker for its pool',
      'short',
      ['max by (lane) (noetl_queue_unserved_commands)', '{{lane}}'],
    ],
    ['Wait until the first lease', 's', ...quantiles('noetl_queue_wait_seconds', 'cause')],
    ['From the notification to the lease', 's', ...quantiles('noetl_notification_to_claim_seconds')],
  ],
  Workers: [
    [
      'Slots',
      'short',
      ['sum(noetl_slots)', 'slots'],
      ['sum(noetl_slots_busy)', 'busy'],
      ['max(noetl_workers)', 'workers'],
    ],
    ['Calls of tools', 's', ...quantiles('noetl_tool_run_duration_seconds', 'tool_kind')],
    ['Failed calls by kind', 'ops', [rate('noetl_tool_errors_total', 'kind'), '{{kind}}']],
    ['Commands run', 'ops', [rate('noetl_worker_commands_total', 'outcome'), '{{outcome}}']],
  ],
  Leases: [
    [
      'Claims',
      'ops',
      [rate('noetl_claims_granted_total'), 'granted'],
      [rate('noetl_claims_refused_total', 'reason'), 'refused: {{reason}}'],
    ],
    [
      'Lost leases and late reports',
      'ops',
      [rate('noetl_leases_expired_total'), 'expired'],
      [rate('noetl_late_reports_total'), 'late'],
      ['max by (lane) (noetl_queue_overdue_leases)', 'overdue {{lane}}'],
    ],
    ['Takeover', 's', ...quantiles('noetl_takeover_seconds')],
    [
      'Dead letters',
      'short',
      ['sum by (reason) (increase(noetl_dead_letters_total[1h]))', '{{reason}} in the last hour'],
      ['sum(max by (lane) (noetl_queue_commands{state="dead"}))', 'waiting'],
    ],
  ],
  'NATS and Postgres': [
    [
      'Notifications',
      'ops',
      [rate('noetl_announcements_total', 'kind'), '{{kind}}'],
      [rate('noetl_consumers_rebuilt_total'), 'rebuilt'],
      [rate('noetl_executions_nudged_total'), 'nudged'],
    ],
    [
      'Consumers',
      'short',
      ['max by (consumer) (noetl_consumer_pending)', '{{consumer}} pending'],
      ['max by (consumer) (noetl_consumer_unacknowledged)', '{{consumer}} unacknowledged'],
      ['max by (consumer) (noetl_consumer_redelivered)', '{{consumer}} redelivered'],
    ],
    [
      'Connections to Postgres',
      'short',
      ['sum by (pool, state) (noetl_pool_connections)', '{{pool}} {{state}}'],
      ['sum by (pool) (noetl_pool_size)', '{{pool}} size'],
      ['sum by (pool) (noetl_pool_waiting)', '{{pool}} waiting'],
    ],
    [
      'Reached',
      'short',
      ['min by (instance) (noetl_bus_connected)', '{{instance}} NATS'],
      ['min by (source) (noetl_scrape_source_up)', 'figures of {{source}}'],
    ],
  ],
  Processes: [
    ['Requests', 'reqps', [rate('noetl_http_requests_total', 'route, code'), '{{route}} {{code}}']],
    ['Answers', 's', ...quantiles('noetl_http_request_duration_seconds', 'route')],
    ['Lag of the event loop', 's', ...quantiles('noetl_event_loop_lag_seconds', 'instance')],
    ['Processor', 'percentunit', [rate('process_cpu_seconds_total', 'instance'), '{{instance}}']],
    ['Memory', 'bytes', ['process_resident_memory_bytes', '{{instance}}']],
    ['Up since', 's', ['time() - process_start_time_seconds', '{{instance}}']],
    [
      'Versions',
      'short',
      ['count by (role, version, node) (noetl_build_info)', '{{role}} {{version}} on Node {{node}}'],
      ['count by (plugin, version) (noetl_plugin_info)', '{{plugin}} {{version}}'],
    ],
  ],
}

const PER_ROW = 2
const HEIGHT = 8
const DATASOURCE = { type: 'prometheus', uid: '$datasource' }

/** deploy/grafana/noetl.json, for import into Grafana 9 and newer. */
export function dashboard(): string {
  const panels: object[] = []
  let y = 0
  for (const [title, row] of Object.entries(ROWS)) {
    panels.push({
      type: 'row',
      id: panels.length + 1,
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: 24, h: 1 },
    })
    y += 1
    row.forEach(([title, unit, ...targets], n) => {
      panels.push({
        type: 'timeseries',
        id: panels.length + 1,
        title,
        datasource: DATASOURCE,
        gridPos: {
          x: (n % PER_ROW) * (24 / PER_ROW),
          y: y + Math.floor(n / PER_ROW) * HEIGHT,
          w: 24 / PER_ROW,
          h: HEIGHT,
        },
        fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
        targets: targets.map(([expr, legendFormat], t) => ({
          refId: String.fromCharCode(65 + t),
          datasource: DATASOURCE,
          expr,
          legendFormat,
        })),
      })
    })
    y += Math.ceil(row.length / PER_ROW) * HEIGHT
  }
  const about = {
    uid: 'noetl',
    title: 'NoETL gateway',
    tags: ['noetl'],
    schemaVersion: 38,
    version: 1,
    editable: true,
    refresh: '10s',
    time: { from: 'now-1h', to: 'now' },
    templating: {
      list: [{ name: 'datasource', label: 'Prometheus', type: 'datasource', query: 'prometheus' }],
    },
    panels,
  }
  return `${JSON.stringify(about, null, 2)}\n`
}
