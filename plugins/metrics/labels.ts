/**
 * Labels and their bounds. No label holds an id, a path or a text of an error: what has no end does not belong
 * into a series. `most`: other values are taken too, up to so many; what comes after goes under `other`.
 */
export interface Label {
  name: string
  meaning: string
  /** Values that are there from the start. */
  values: readonly string[]
  most?: number
}

export const OTHER = 'other'

const label = <N extends string>(name: N, meaning: string, values: readonly string[], most?: number) => ({
  name,
  meaning,
  values,
  ...(most === undefined ? {} : { most }),
})

export const LANE = label('lane', 'priority class of the commands', ['normal'], 16)
/** Its values from the start are the kinds of the plugins installed. */
export const TOOL_KIND = label('tool_kind', 'kind of the tool, `task_sequence` for a pipeline', [], 48)
export const CONSUMER = label('consumer', 'durable name of the consumer', ['noetl-worker-pool'], 32)
export const OUTCOME = label('outcome', 'what came of the call', ['ok', 'error'])
export const COMMAND_OUTCOME = label(
  'outcome',
  '`waiting`: for another execution, `retrying`: another command repeats it later',
  ['ok', 'error', 'waiting', 'retrying'],
)
export const RUN_OUTCOME = label('outcome', '`aborted`: the lease was lost, or the worker stopped', [
  'ok',
  'error',
  'waiting',
  'retrying',
  'aborted',
])
export const EXECUTION_OUTCOME = label('outcome', 'how the execution ended', [
  'completed',
  'failed',
  'cancelled',
])
export const STATE = label(
  'state',
  '`ready`: anyone may claim it, `delayed`: not yet, `running`: leased, `dead`: waits for a person',
  ['ready', 'delayed', 'running', 'dead'],
)
export const CAUSE = label(
  'cause',
  'what held it back: `capacity`: no slot was free, `pool`: none of its named pool, `retry`: the rule that repeats its call, `paused`: its lane',
  ['capacity', 'pool', 'retry', 'paused'],
)
export const REFUSAL = label(
  'reason',
  '`held`: another worker has it, or it is delayed; `settled`: it is done, or its execution is; `saturated`, `store`: to be asked again',
  ['held', 'settled', 'saturated', 'store', OTHER],
)
export const DEATH = label(
  'reason',
  '`attempts`: used up, `in_doubt`: its worker died in what is not safe to repeat, `error`: it failed under `on_error: park`',
  ['attempts', 'in_doubt', 'error'],
)
export const ANNOUNCEMENT = label('kind', '`repeated`: no one claimed it after the first', [
  'first',
  'repeated',
])
export const ERROR_KIND = label('kind', 'kind of the error, as playbooks read it', [
  ...['connection', 'timeout', 'rate_limit', 'auth', 'not_found', 'client_error', 'server_error', 'schema'],
  ...['parse', 'transform', 'db_connection', 'db_constraint', 'db_deadlock', 'db_timeout', 'storage_quota'],
  ...['storage_access', 'tool_error', 'cancelled', 'unknown', OTHER],
])
export const POOL = label(
  'pool',
  'connections for what must be on disk (`durable`), and for claims and renewals (`relaxed`)',
  ['durable', 'relaxed'],
)
export const CONNECTION = label('state', '', ['active', 'idle'])
export const ROUTE = label('route', 'group of routes', [
  ...['execute', 'events', 'claim', 'renew', 'release', 'executions', 'catalog', 'probes', OTHER],
])
export const CODE = label('code', 'class of the HTTP status', ['2xx', '3xx', '4xx', '5xx'])
export const SOURCE = label('source', 'where the figures of a scrape come from', ['postgres', 'nats'])
