/**
 * The alerts: what they watch, when they speak, what to do; and for each a case that makes it speak, next to which
 * it is silent. `npm run metrics` writes them as rules and as a test of promtool.
 */
export interface Alert {
  name: string
  severity: 'critical' | 'warning'
  expression: string
  /** How long the expression must hold. */
  for: string
  summary: string
  /** What it means and what to do. */
  action: string
  /** Series, in promtool's notation, that make it speak after `after`; a sample a minute. */
  speaks: { series: Record<string, string>; after: string; labels?: Record<string, string> }
  /** Series that look alike and do not. */
  silent: { series: Record<string, string>; after: string }
}

const shared = (metric: string) => `max by (lane) (${metric})`

export const ALERTS: readonly Alert[] = [
  {
    name: 'NoetlNoServer',
    severity: 'critical',
    expression: 'absent(noetl_build_info{role="server"})',
    for: '2m',
    summary: 'No server of the gateway is scraped',
    action:
      'Look whether servers run and whether Prometheus may scrape them; nothing starts and nothing goes on.',
    speaks: {
      series: { 'noetl_build_info{role="worker"}': '1x20' },
      after: '10m',
      labels: { role: 'server' },
    },
    silent: { series: { 'noetl_build_info{role="server"}': '1x20' }, after: '10m' },
  },
  {
    name: 'NoetlNoWorkers',
    severity: 'critical',
    expression: 'max(noetl_workers) == 0 and sum(max by (lane) (noetl_queue_commands{state="ready"})) > 0',
    for: '1m',
    summary: 'Commands are ready and no worker is there',
    action: 'Start workers, or look at their logs why they do not register.',
    speaks: {
      series: { noetl_workers: '0x20', 'noetl_queue_commands{lane="normal",state="ready"}': '3x20' },
      after: '10m',
    },
    silent: {
      series: { noetl_workers: '2x20', 'noetl_queue_commands{lane="normal",state="ready"}': '3x20' },
      after: '10m',
    },
  },
  {
    name: 'NoetlPoolWithoutWorkers',
    severity: 'warning',
    expression: `${shared('noetl_queue_unserved_commands')} > 0`,
    for: '2m',
    summary: 'Commands of lane {{ $labels.lane }} are for a pool without workers',
    action:
      'GET /readyz or /api/queue/size of a server says which pool, and the command that starts such a worker; or correct NOETL_ROUTES for what comes.',
    speaks: {
      series: { 'noetl_queue_unserved_commands{lane="normal"}': '3x20' },
      after: '10m',
      labels: { lane: 'normal' },
    },
    silent: { series: { 'noetl_queue_unserved_commands{lane="normal"}': '0x20' }, after: '10m' },
  },
  {
    name: 'NoetlQueueOld',
    severity: 'warning',
    expression: `${shared('noetl_queue_oldest_age_seconds')} > 60`,
    for: '5m',
    summary: 'Commands of lane {{ $labels.lane }} wait for longer than a minute',
    action:
      'Compare noetl_slots_busy with noetl_slots: when all are busy, add workers or slots; when they are not, look at NATS (noetl_bus_connected, noetl_consumer_pending) and at the pools that the commands ask for.',
    speaks: {
      series: { 'noetl_queue_oldest_age_seconds{lane="normal"}': '90x20' },
      after: '10m',
      labels: { lane: 'normal' },
    },
    silent: { series: { 'noetl_queue_oldest_age_seconds{lane="normal"}': '30x20' }, after: '10m' },
  },
  {
    name: 'NoetlDeadLetters',
    severity: 'warning',
    expression: 'sum by (reason) (increase(noetl_dead_letters_total[15m])) > 0',
    for: '0m',
    summary: 'Commands wait for a person ({{ $labels.reason }})',
    action: 'See them with `noetlctl dead-letter list`; retry, resolve or drop them.',
    speaks: {
      series: { 'noetl_dead_letters_total{reason="attempts"}': '0x4 2x15' },
      after: '10m',
      labels: { reason: 'attempts' },
    },
    silent: { series: { 'noetl_dead_letters_total{reason="attempts"}': '7x20' }, after: '10m' },
  },
  {
    name: 'NoetlLeasesExpire',
    severity: 'warning',
    expression: 'sum(increase(noetl_leases_expired_total[10m])) > 5',
    for: '0m',
    summary: 'Workers are lost in the midst of their work',
    action:
      'Look for workers that are killed (memory), cut off from the servers, or whose loop stands still.',
    speaks: { series: { noetl_leases_expired_total: '0+1x20' }, after: '15m' },
    silent: { series: { noetl_leases_expired_total: '0x10 1x10' }, after: '15m' },
  },
  {
    name: 'NoetlLeasesOverdue',
    severity: 'critical',
    expression: `${shared('noetl_queue_overdue_leases')} > 0`,
    for: '2m',
    summary: 'Leases of lane {{ $labels.lane }} are over and nobody takes them back',
    action:
      'Upkeep of the servers does not run, or fails: look at the logs of the servers for "upkeep failed".',
    speaks: {
      series: { 'noetl_queue_overdue_leases{lane="normal"}': '1x20' },
      after: '10m',
      labels: { lane: 'normal' },
    },
    silent: {
      series: { 'noetl_queue_overdue_leases{lane="normal"}': '1 0 1 0 0 1 0 0 1 0 0' },
      after: '10m',
    },
  },
  {
    name: 'NoetlTakeoverSlow',
    severity: 'warning',
    expression: 'histogram_quantile(0.99, sum by (le) (rate(noetl_takeover_seconds_bucket[15m]))) > 5',
    for: '5m',
    summary: 'Lost commands wait for long until another worker has them',
    action: 'There are too few free slots to take over, or NATS is away and hints come late.',
    speaks: {
      series: {
        'noetl_takeover_seconds_bucket{le="5"}': '0x30',
        'noetl_takeover_seconds_bucket{le="10"}': '0+1x30',
        'noetl_takeover_seconds_bucket{le="+Inf"}': '0+1x30',
      },
      after: '25m',
    },
    silent: {
      series: {
        'noetl_takeover_seconds_bucket{le="5"}': '0+1x30',
        'noetl_takeover_seconds_bucket{le="10"}': '0+1x30',
        'noetl_takeover_seconds_bucket{le="+Inf"}': '0+1x30',
      },
      after: '25m',
    },
  },
  {
    name: 'NoetlLateReports',
    severity: 'warning',
    expression: 'sum(increase(noetl_late_reports_total[15m])) > 5',
    for: '0m',
    summary: 'Workers report under leases that they have lost',
    action: 'Work is done twice: look for workers whose renewals do not come through in time.',
    speaks: { series: { noetl_late_reports_total: '0+1x20' }, after: '15m' },
    silent: { series: { noetl_late_reports_total: '0x10 1x10' }, after: '15m' },
  },
  {
    name: 'NoetlConsumerSilent',
    severity: 'warning',
    expression:
      'max by (consumer) (noetl_consumer_pending) > 0 and on () max(noetl_workers) > 0 and on () sum(rate(noetl_claims_granted_total[5m])) == 0',
    for: '5m',
    summary: 'Consumer {{ $labels.consumer }} holds notifications and nothing is claimed',
    action:
      'Look whether workers of its lane and pool are there and have free slots; servers make silent consumers anew by themselves.',
    speaks: {
      series: {
        'noetl_consumer_pending{consumer="noetl-worker-pool"}': '4x20',
        noetl_workers: '1x20',
        noetl_claims_granted_total: '9x20',
      },
      after: '15m',
      labels: { consumer: 'noetl-worker-pool' },
    },
    silent: {
      series: {
        'noetl_consumer_pending{consumer="noetl-worker-pool"}': '4x20',
        noetl_workers: '1x20',
        noetl_claims_granted_total: '0+10x20',
      },
      after: '15m',
    },
  },
  {
    name: 'NoetlNotificationsLost',
    severity: 'warning',
    expression:
      'sum(rate(noetl_announcements_total{kind="repeated"}[10m])) / sum(rate(noetl_announcements_total[10m])) > 0.2 and sum(rate(noetl_announcements_total[10m])) > 0.1',
    for: '10m',
    summary: 'Every fifth notification is a repeated one',
    action: 'NATS loses what it is given, or workers have no free slots: see NoetlQueueOld.',
    speaks: {
      series: {
        'noetl_announcements_total{kind="first"}': '0+60x40',
        'noetl_announcements_total{kind="repeated"}': '0+60x40',
      },
      after: '30m',
    },
    silent: {
      series: {
        'noetl_announcements_total{kind="first"}': '0+60x40',
        'noetl_announcements_total{kind="repeated"}': '0+1x40',
      },
      after: '30m',
    },
  },
  {
    name: 'NoetlBusAway',
    severity: 'critical',
    expression: 'min by (instance, job) (noetl_bus_connected) == 0',
    for: '1m',
    summary: 'NATS is away for {{ $labels.instance }}',
    action: 'Work goes on only by announcements that come later; look at NATS and the network.',
    speaks: {
      series: { 'noetl_bus_connected{instance="a:1",job="noetl"}': '0x20' },
      after: '5m',
      labels: { instance: 'a:1', job: 'noetl' },
    },
    silent: { series: { 'noetl_bus_connected{instance="a:1",job="noetl"}': '1x20' }, after: '5m' },
  },
  {
    name: 'NoetlStoreAway',
    severity: 'critical',
    expression: 'min by (instance, job) (noetl_scrape_source_up{source="postgres"}) == 0',
    for: '1m',
    summary: 'Server {{ $labels.instance }} cannot read from Postgres',
    action: 'Nothing starts and nothing is recorded without it: look at Postgres and its connections.',
    speaks: {
      series: { 'noetl_scrape_source_up{source="postgres",instance="a:1",job="noetl"}': '0x20' },
      after: '5m',
      labels: { instance: 'a:1', job: 'noetl' },
    },
    silent: {
      series: {
        'noetl_scrape_source_up{source="postgres",instance="a:1",job="noetl"}': '1x20',
        'noetl_scrape_source_up{source="nats",instance="a:1",job="noetl"}': '0x20',
      },
      after: '5m',
    },
  },
  {
    name: 'NoetlPoolFull',
    severity: 'warning',
    expression: 'avg_over_time(noetl_pool_waiting[5m]) > 5',
    for: '5m',
    summary: 'Statements of {{ $labels.instance }} wait for connections ({{ $labels.pool }})',
    action: 'Raise NOETL_DATABASE_CONNECTIONS, or add a server; look at slow statements in Postgres first.',
    speaks: {
      series: { 'noetl_pool_waiting{pool="durable",instance="a:1"}': '20x20' },
      after: '15m',
      labels: { pool: 'durable', instance: 'a:1' },
    },
    silent: {
      series: { 'noetl_pool_waiting{pool="durable",instance="a:1"}': '0 0 9 0 0 0 9 0 0 0 0 9 0 0 0 0' },
      after: '15m',
    },
  },
  {
    name: 'NoetlLoopBlocked',
    severity: 'warning',
    expression:
      'histogram_quantile(0.99, sum by (instance, job, le) (rate(noetl_event_loop_lag_seconds_bucket[5m]))) > 0.5',
    for: '5m',
    summary: 'The event loop of {{ $labels.instance }} stands still for half a second and longer',
    action: 'The process is out of processor time, or code of a tool runs in its loop; leases may be lost.',
    speaks: {
      series: {
        'noetl_event_loop_lag_seconds_bucket{instance="a:1",job="noetl",le="0.5"}': '0x20',
        'noetl_event_loop_lag_seconds_bucket{instance="a:1",job="noetl",le="1"}': '0+60x20',
        'noetl_event_loop_lag_seconds_bucket{instance="a:1",job="noetl",le="+Inf"}': '0+60x20',
      },
      after: '15m',
      labels: { instance: 'a:1', job: 'noetl' },
    },
    silent: {
      series: {
        'noetl_event_loop_lag_seconds_bucket{instance="a:1",job="noetl",le="0.5"}': '0+600x20',
        'noetl_event_loop_lag_seconds_bucket{instance="a:1",job="noetl",le="1"}': '0+601x20',
        'noetl_event_loop_lag_seconds_bucket{instance="a:1",job="noetl",le="+Inf"}': '0+601x20',
      },
      after: '15m',
    },
  },
  {
    name: 'NoetlExecutionsFail',
    severity: 'warning',
    expression:
      'sum(rate(noetl_executions_finished_total{outcome="failed"}[15m])) / sum(rate(noetl_executions_finished_total[15m])) > 0.2',
    for: '15m',
    summary: 'More than a fifth of the executions fails',
    action:
      'See which with `noetlctl execution list --status FAILED`; noetl_tool_errors_total says what kind of failure it is.',
    speaks: {
      series: {
        'noetl_executions_finished_total{outcome="failed"}': '0+5x60',
        'noetl_executions_finished_total{outcome="completed"}': '0+5x60',
      },
      after: '45m',
    },
    silent: {
      series: {
        'noetl_executions_finished_total{outcome="failed"}': '0+1x60',
        'noetl_executions_finished_total{outcome="completed"}': '0+20x60',
      },
      after: '45m',
    },
  },
]
