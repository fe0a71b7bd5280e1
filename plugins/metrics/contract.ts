import type { Label } from './labels.ts'
import * as labels from './labels.ts'

/**
 * The contract of the metrics: instruments, docs/metrics.md, the dashboard and the alert rules are made from it
 * (`npm run metrics`). A stable metric keeps its name, type, unit and labels within a major version.
 */
export interface Metric {
  type: 'counter' | 'gauge' | 'histogram'
  unit: 'count' | 'seconds' | 'bytes' | 'info'
  roles: readonly ('server' | 'worker')[]
  labels: readonly Label[]
  /** Upper bounds, of a histogram. */
  buckets?: readonly number[]
  meaning: string
  stability: 'stable' | 'experimental'
  /** Read from Postgres or NATS: every server tells the same, so take the maximum over servers, not the sum. */
  shared?: true
}

const FAST = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const WAITS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60, 300, 1800]
const RUNS = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800]
const EXECUTIONS = [0.05, 0.25, 1, 5, 15, 60, 300, 1800, 7200, 86_400]

type More = Partial<Pick<Metric, 'buckets' | 'shared' | 'stability'>>

function made<T extends Metric['type']>(type: T) {
  return <const L extends readonly Label[]>(
    unit: Metric['unit'],
    roles: Metric['roles'],
    labels: L,
    meaning: string,
    more: More = {},
  ) => ({ type, unit, roles, labels, meaning, stability: 'stable' as const, ...more })
}

const counter = made('counter')
const gauge = made('gauge')
const histogram = made('histogram')
const SERVER = ['server'] as const
const WORKER = ['worker'] as const
const BOTH = ['server', 'worker'] as const
const { LANE, TOOL_KIND, CONSUMER, POOL } = labels

export const CONTRACT = {
  noetl_build_info: gauge(
    'info',
    BOTH,
    [info('role'), info('version'), info('node')],
    '1; which version of the core runs, on which Node.',
  ),
  noetl_plugin_info: gauge(
    'info',
    BOTH,
    [info('plugin'), info('version')],
    '1 for every plugin of the process.',
  ),
  noetl_bus_connected: gauge(
    'count',
    BOTH,
    [],
    '1 while NATS is connected, else 0. Work goes on without it, slower.',
  ),
  noetl_event_loop_lag_seconds: histogram(
    'seconds',
    BOTH,
    [],
    'How late a timer of 100 ms comes: what else the process had to do.',
    { buckets: FAST },
  ),
  process_cpu_seconds_total: counter('seconds', BOTH, [], 'Processor time of the process, user and system.'),
  process_resident_memory_bytes: gauge('bytes', BOTH, [], 'Memory that the process holds.'),
  process_start_time_seconds: gauge('seconds', BOTH, [], 'When the process began, in seconds since 1970.'),
  noetl_executions_started_total: counter(
    'count',
    SERVER,
    [],
    'Executions begun, those that others began included.',
  ),
  noetl_executions_finished_total: counter(
    'count',
    SERVER,
    [labels.EXECUTION_OUTCOME],
    'Executions that came to their end.',
  ),
  noetl_execution_duration_seconds: histogram(
    'seconds',
    SERVER,
    [labels.EXECUTION_OUTCOME],
    'From the begin of an execution to its end.',
    { buckets: EXECUTIONS },
  ),
  noetl_commands_enqueued_total: counter('count', SERVER, [LANE, TOOL_KIND], 'Commands put into the queue.'),
  noetl_commands_finished_total: counter(
    'count',
    SERVER,
    [LANE, TOOL_KIND, labels.COMMAND_OUTCOME],
    'Commands whose outcome was recorded.',
  ),
  noetl_queue_commands: gauge('count', SERVER, [LANE, labels.STATE], 'Commands in the queue now.', {
    shared: true,
  }),
  noetl_queue_oldest_age_seconds: gauge(
    'seconds',
    SERVER,
    [LANE],
    'For how long the oldest ready command could have been claimed; 0 when none is ready.',
    { shared: true },
  ),
  noetl_queue_unserved_commands: gauge(
    'count',
    SERVER,
    [LANE],
    'Ready commands of a lane and pool that no worker heard of within the last minute takes.',
    { shared: true },
  ),
  noetl_queue_overdue_leases: gauge(
    'count',
    SERVER,
    [LANE],
    'Running commands whose lease is over; upkeep takes them back within a second or two.',
    { shared: true },
  ),
  noetl_queue_wait_seconds: histogram(
    'seconds',
    SERVER,
    [LANE, labels.CAUSE],
    'From the issue of a command to its first lease.',
    { buckets: WAITS },
  ),
  noetl_workers: gauge('count', SERVER, [], 'Workers registered and heard of within the last minute.', {
    shared: true,
  }),
  noetl_claims_granted_total: counter('count', SERVER, [], 'Leases given.'),
  noetl_claims_refused_total: counter(
    'count',
    SERVER,
    [labels.REFUSAL],
    'Claims that got no lease. Some are normal: hints are repeated.',
  ),
  noetl_leases_expired_total: counter(
    'count',
    SERVER,
    [],
    'Leases of workers that were not heard of in time.',
  ),
  noetl_takeover_seconds: histogram(
    'seconds',
    SERVER,
    [],
    'From the moment a server took an expired lease back until a worker got the command from the same server.',
    { buckets: WAITS, stability: 'experimental' },
  ),
  noetl_late_reports_total: counter(
    'count',
    SERVER,
    [],
    'Reports that changed nothing, for their lease was lost or their command settled before.',
  ),
  noetl_dead_letters_total: counter(
    'count',
    SERVER,
    [labels.DEATH],
    'Commands that began to wait for a person.',
  ),
  noetl_announcements_total: counter('count', SERVER, [labels.ANNOUNCEMENT], 'Notifications sent.'),
  noetl_executions_nudged_total: counter(
    'count',
    SERVER,
    [],
    'Executions that did not move and were looked at by upkeep.',
    { stability: 'experimental' },
  ),
  noetl_consumers_rebuilt_total: counter(
    'count',
    SERVER,
    [],
    'Consumers and streams made anew because they fell silent.',
  ),
  noetl_consumer_pending: gauge('count', SERVER, [CONSUMER], 'Notifications not delivered yet.', {
    shared: true,
  }),
  noetl_consumer_unacknowledged: gauge(
    'count',
    SERVER,
    [CONSUMER],
    'Notifications delivered and not settled: about the commands under way.',
    { shared: true },
  ),
  noetl_consumer_redelivered: gauge(
    'count',
    SERVER,
    [CONSUMER],
    'Of those not settled, notifications delivered more than once.',
    { shared: true },
  ),
  noetl_pool_size: gauge('count', SERVER, [POOL], 'Connections to Postgres that the server may open.'),
  noetl_pool_connections: gauge(
    'count',
    SERVER,
    [POOL, labels.CONNECTION],
    'Connections to Postgres that are open.',
  ),
  noetl_pool_waiting: gauge('count', SERVER, [POOL], 'Statements that wait for a connection.'),
  noetl_http_requests_total: counter('count', SERVER, [labels.ROUTE, labels.CODE], 'Requests answered.'),
  noetl_http_request_duration_seconds: histogram(
    'seconds',
    SERVER,
    [labels.ROUTE],
    'From the arrival of a request to the end of its answer.',
    { buckets: FAST },
  ),
  noetl_scrape_source_up: gauge(
    'count',
    SERVER,
    [labels.SOURCE],
    '1 when Postgres and NATS told their figures; at 0 those are NaN.',
  ),
  noetl_slots: gauge('count', WORKER, [], 'Commands that the worker runs at once at most.'),
  noetl_slots_busy: gauge(
    'count',
    WORKER,
    [],
    'Commands under way, those that are being claimed and reported included.',
  ),
  noetl_notification_to_claim_seconds: histogram(
    'seconds',
    WORKER,
    [],
    'From the moment NATS took a notification to the lease, of first deliveries. By the clocks of NATS and the worker.',
    { buckets: WAITS },
  ),
  noetl_worker_commands_total: counter(
    'count',
    WORKER,
    [TOOL_KIND, labels.RUN_OUTCOME],
    'Commands that the worker ran; of a pipeline, the kind of its first tool.',
  ),
  noetl_tool_run_duration_seconds: histogram(
    'seconds',
    WORKER,
    [TOOL_KIND, labels.OUTCOME],
    'One call of a tool; aborted calls are left out.',
    { buckets: RUNS },
  ),
  noetl_tool_errors_total: counter('count', WORKER, [labels.ERROR_KIND], 'Calls of tools that failed.'),
} satisfies Record<string, Metric>

export type MetricName = keyof typeof CONTRACT
/** What an instrument is called with: every label of the metric, and no other. */
export type LabelsOf<N extends MetricName> = Record<(typeof CONTRACT)[N]['labels'][number]['name'], string>
export type NamesOf<T extends Metric['type']> = {
  [N in MetricName]: (typeof CONTRACT)[N]['type'] extends T ? N : never
}[MetricName]

/** A label whose one value is the process's own. */
function info<N extends string>(
  name: N,
): { name: N; meaning: string; values: readonly string[]; most: number } {
  return { name, meaning: '', values: [], most: 100 }
}
