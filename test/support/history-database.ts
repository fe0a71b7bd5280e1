import pg from 'pg'
import { compilePlaybook } from '../../core/playbook/compile.ts'
import { graphOf } from '../../core/playbook/graph.ts'
import type { Event } from '../../core/schemas/event.ts'
import type { State, Status } from '../../core/schemas/execution.ts'
import type { Json } from '../../core/schemas/json.ts'
import { checkHistory, type HistoryOptions } from './history.ts'

/** What was looked at, and what is wrong. */
export interface Checked {
  executions: number
  events: number
  /** Executions whose events are kept no more. */
  forgotten: number
  faults: string[]
}

interface Row {
  execution_id: string
  catalog_id: string
  status: Status
  state: State
}

const PAGE = 200

/** Checks the history of every execution of a database, each as of one moment. Changes nothing. */
export async function checkDatabase(
  databaseUrl: string,
  onProgress: (checked: Checked) => void = () => {},
): Promise<Checked> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'noetl-check-history' })
  await client.connect()
  const checked: Checked = { executions: 0, events: 0, forgotten: 0, faults: [] }
  const graphs = new Map<string, HistoryOptions['acyclic']>()
  try {
    for (let last = '0'; ; ) {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
      const { rows } = await client.query<Row>(
        `SELECT execution_id, catalog_id, status, state FROM noetl.execution WHERE execution_id > $1
         ORDER BY execution_id LIMIT $2`,
        [last, PAGE],
      )
      for (const row of rows) {
        const events = await eventsOf(client, row.execution_id)
        checked.executions += 1
        checked.events += events.length
        if (events.length === 0) checked.forgotten += 1
        else checked.faults.push(...(await check(client, row, events, graphs)))
      }
      await client.query('COMMIT')
      onProgress(checked)
      if (rows.length < PAGE) return checked
      last = rows.at(-1)!.execution_id
    }
  } finally {
    await client.end()
  }
}

async function check(
  client: pg.Client,
  row: Row,
  events: Event[],
  graphs: Map<string, HistoryOptions['acyclic']>,
): Promise<string[]> {
  const id = [row.execution_id]
  const queue = await client.query<{ queue_id: string; status: string; node_id: string }>(
    'SELECT queue_id, status, node_id FROM noetl.queue WHERE execution_id = $1',
    id,
  )
  const waits = await client.query<{ id: string }>(
    'SELECT child_execution_id AS id FROM noetl.wait WHERE execution_id = $1',
    id,
  )
  if (!graphs.has(row.catalog_id)) graphs.set(row.catalog_id, await acyclicGraphOf(client, row.catalog_id))
  const acyclic = graphs.get(row.catalog_id)
  return checkHistory(events, row, queue.rows, {
    waits: waits.rows.map(({ id }) => id),
    ...(acyclic === undefined ? {} : { acyclic }),
  })
}

async function eventsOf(client: pg.Client, executionId: string): Promise<Event[]> {
  const { rows } = await client.query(
    `SELECT event_id, execution_id, created_at, event_type, node_id, node_name, node_type, status, duration,
       current_index, worker_id, context, result, meta, error
     FROM noetl.event WHERE execution_id = $1 ORDER BY event_id`,
    [executionId],
  )
  return rows.map(
    ({ created_at, result, ...row }) =>
      ({
        ...Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)),
        created_at: (created_at as Date).toISOString(),
        result: result as Json,
      }) as Event,
  )
}

/** The graph of a playbook that has no way back; nothing of one that has, or that is there no more. */
async function acyclicGraphOf(client: pg.Client, catalogId: string): Promise<HistoryOptions['acyclic']> {
  const { rows } = await client.query<{ content: string }>(
    'SELECT content FROM noetl.catalog WHERE catalog_id = $1',
    [catalogId],
  )
  if (rows[0] === undefined) return undefined
  const { playbook } = compilePlaybook(rows[0].content)
  const graph = graphOf(playbook)
  return playbook.steps.some(({ name }) => graph.reaches(name, name)) ? undefined : graph
}
