import type pg from 'pg'
import QueryStream from 'pg-query-stream'
import { pgFailure } from './pg-failures.ts'
import { onPostgres } from './pg-session.ts'
import type { Settings } from './pg-settings.ts'
import { asSent, columnOf } from './pg-types.ts'
import type { SourcePlan } from './plan.ts'
import { type BatchLimits, inBatches, peek, pickColumns, type Row, type Source, weigh } from './rows.ts'
import type { Stop } from './stop.ts'

/** Rows that are asked of the server at a time: so many are in memory beside the batch. */
const FETCH_ROWS = 250

/** Opens a cursor in a transaction that only reads, and gives its rows to `use`. */
export function withPostgres<T>(
  plan: SourcePlan & { type: 'postgres' },
  about: {
    settings: Settings
    stop: Stop
    seconds: number
    connectMs: number
    wanted: readonly string[] | null
    batch: BatchLimits
  },
  use: (source: Source) => Promise<T>,
): Promise<T> {
  const { settings, wanted, batch } = about
  return onPostgres(settings, { ...about, side: 'source' }, async ({ client }) => {
    const stream = client.query(
      new QueryStream(plan.query, plan.params, {
        rowMode: 'array',
        types: asSent,
        batchSize: Math.min(FETCH_ROWS, batch.rows),
      }),
    )
    // Of a connection that breaks the stream itself would not hear: it waits for an answer first.
    const onError = (error: Error) => stream.emit('error', error)
    client.on('error', onError)
    stream.cursor.on('error', onError)
    // Told to whoever reads it; when nobody does any more, it is of no interest.
    stream.on('error', () => {})
    const { all } = await peek(inBatches(singly(stream, settings), batch, weighRow))
    const fields: pg.FieldDef[] = stream._result.fields
    const given = fields.map(columnOf)
    const places = pickColumns(given, wanted)
    const whole = places.every((place, at) => place === at) && places.length === given.length
    return use({
      columns: places.map((place) => given[place]!),
      batches: whole ? all : picked(all, places),
      about: { type: 'postgres', database: settings.database, host: settings.host },
    })
  })
}

/** What breaks is told as the source's: it goes up through the target. */
async function* singly(
  stream: AsyncIterable<Row>,
  settings: Settings,
): AsyncGenerator<Row[], void, undefined> {
  try {
    for await (const row of stream) yield [row]
  } catch (error) {
    throw pgFailure(error, 'source', settings)
  }
}

async function* picked(
  batches: AsyncIterable<Row[]>,
  places: readonly number[],
): AsyncGenerator<Row[], void, undefined> {
  for await (const rows of batches) yield rows.map((row) => places.map((place) => row[place]!))
}

function weighRow(row: Row): number {
  let sum = 0
  for (const cell of row) sum += weigh(cell)
  return sum
}
