import {
  type DuckDBArrayValue,
  type DuckDBBlobValue,
  type DuckDBConnection,
  type DuckDBListValue,
  type DuckDBMapValue,
  type DuckDBResult,
  type DuckDBStructValue,
  type DuckDBType,
  DuckDBTypeId,
  type DuckDBUnionValue,
  type DuckDBValue,
} from '@duckdb/node-api'
import { Decimal, type Json, type JsonObject, parseJson, readNumber, ToolError, writeJson } from '@noetl/core'
import { duckdbFailure } from './duckdb-failures.ts'
import { type DuckdbLimits, onDuckdb } from './duckdb-session.ts'
import type { SourcePlan } from './plan.ts'
import {
  type BatchLimits,
  type Cell,
  type ColumnType,
  inBatches,
  pickColumns,
  type Row,
  type Source,
  type SourceColumn,
  weigh,
} from './rows.ts'
import type { Stop } from './stop.ts'

/** Runs a query in a transaction that only reads, and gives its rows to `use` chunk by chunk. */
export function withDuckdb<T>(
  plan: SourcePlan & { type: 'duckdb' },
  about: { stop: Stop; limits: DuckdbLimits; wanted: readonly string[] | null; batch: BatchLimits },
  use: (source: Source) => Promise<T>,
): Promise<T> {
  return onDuckdb(plan.database, { ...about, side: 'source' }, async ({ connection }) => {
    const result = await start(connection, plan)
    const types = result.columnTypes()
    const given = result.columnNames().map((name, at) => columnOf(name, types[at]!))
    const places = pickColumns(given, about.wanted)
    const columns = places.map((place) => given[place]!)
    const batches = inBatches(pieces(result, places), about.batch, (row) =>
      row.reduce<number>((sum, cell) => sum + weigh(cell), 0),
    )
    return use({ columns, batches, about: { type: 'duckdb', database: plan.database || ':memory:' } })
  })
}

async function start(
  connection: DuckDBConnection,
  { query, params }: { query: string; params: Json[] },
): Promise<DuckDBResult> {
  const statements = await connection.extractStatements(query)
  if (statements.count !== 1) {
    throw new ToolError(
      'schema',
      `source: "query" is one statement that gives the rows; this has ${statements.count}.`,
    )
  }
  const prepared = await statements.prepare(0)
  if (params.length > 0) prepared.bind(params.map(bindable))
  return prepared.stream()
}

/** Lists and objects go in as their JSON text, numbers that DuckDB may have no type for as their digits. */
function bindable(value: Json): DuckDBValue {
  if (value instanceof Decimal) return value.text
  if (typeof value === 'bigint') return BigInt.asIntN(128, value) === value ? value : String(value)
  if (typeof value === 'object' && value !== null) return writeJson(value)
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value
}

/** What breaks is told as the source's: it goes up through the target. */
async function* pieces(
  result: DuckDBResult,
  places: readonly number[],
): AsyncGenerator<Row[], void, undefined> {
  try {
    for (;;) {
      const chunk = await result.fetchChunk()
      if (chunk === null || chunk.rowCount === 0) return
      yield chunk.getRows().map((row) => places.map((place) => cellOf(row[place] ?? null)))
    }
  } catch (error) {
    throw duckdbFailure(error, 'source')
  }
}

const TYPES: ReadonlyMap<DuckDBTypeId, ColumnType> = new Map<DuckDBTypeId, ColumnType>([
  [DuckDBTypeId.BOOLEAN, 'boolean'],
  [DuckDBTypeId.TINYINT, 'integer'],
  [DuckDBTypeId.SMALLINT, 'integer'],
  [DuckDBTypeId.INTEGER, 'integer'],
  [DuckDBTypeId.BIGINT, 'bigint'],
  [DuckDBTypeId.UTINYINT, 'integer'],
  [DuckDBTypeId.USMALLINT, 'integer'],
  [DuckDBTypeId.UINTEGER, 'bigint'],
  [DuckDBTypeId.UBIGINT, 'numeric'],
  [DuckDBTypeId.HUGEINT, 'numeric'],
  [DuckDBTypeId.UHUGEINT, 'numeric'],
  [DuckDBTypeId.DECIMAL, 'numeric'],
  [DuckDBTypeId.FLOAT, 'double'],
  [DuckDBTypeId.DOUBLE, 'double'],
  [DuckDBTypeId.BLOB, 'bytes'],
  [DuckDBTypeId.DATE, 'date'],
  [DuckDBTypeId.TIME, 'time'],
  [DuckDBTypeId.TIMESTAMP, 'timestamp'],
  [DuckDBTypeId.TIMESTAMP_S, 'timestamp'],
  [DuckDBTypeId.TIMESTAMP_MS, 'timestamp'],
  [DuckDBTypeId.TIMESTAMP_NS, 'timestamp'],
  [DuckDBTypeId.TIMESTAMP_TZ, 'timestamptz'],
  [DuckDBTypeId.INTERVAL, 'interval'],
  [DuckDBTypeId.UUID, 'uuid'],
  [DuckDBTypeId.LIST, 'json'],
  [DuckDBTypeId.ARRAY, 'json'],
  [DuckDBTypeId.STRUCT, 'json'],
  [DuckDBTypeId.MAP, 'json'],
  [DuckDBTypeId.UNION, 'json'],
])

function columnOf(name: string, type: DuckDBType): SourceColumn {
  if (type.alias === 'JSON') return { name, type: 'json', toJson: parseJson }
  const known = TYPES.get(type.typeId) ?? 'text'
  return known === 'integer' || known === 'bigint' || known === 'numeric'
    ? { name, type: known, toJson: readNumber }
    : { name, type: known }
}

/** A value on its way: whole numbers and decimals as their digits, nested values as JSON, others as DuckDB prints them. */
function cellOf(value: DuckDBValue): Cell {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return String(value)
  switch (value.constructor.name) {
    case 'DuckDBBlobValue':
      return (value as DuckDBBlobValue).bytes
    case 'DuckDBListValue':
    case 'DuckDBArrayValue':
    case 'DuckDBStructValue':
    case 'DuckDBMapValue':
    case 'DuckDBUnionValue':
      return nested(value)
    default:
      return String(value)
  }
}

/** A value inside of another, as JSON. */
function nested(value: DuckDBValue): Json {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value === 'bigint') return readNumber(String(value))
  switch (value.constructor.name) {
    case 'DuckDBDecimalValue':
      return readNumber(String(value))
    case 'DuckDBBlobValue':
      return Buffer.from((value as DuckDBBlobValue).bytes).toString('base64')
    case 'DuckDBListValue':
      return (value as DuckDBListValue).items.map(nested)
    case 'DuckDBArrayValue':
      return (value as DuckDBArrayValue).items.map(nested)
    case 'DuckDBStructValue':
      return objectOf(Object.entries((value as DuckDBStructValue).entries))
    case 'DuckDBMapValue':
      return objectOf((value as DuckDBMapValue).entries.map(({ key, value }) => [keyOf(key), value]))
    case 'DuckDBUnionValue':
      return nested((value as DuckDBUnionValue).value)
    default:
      return String(value)
  }
}

function objectOf(entries: [string, DuckDBValue][]): JsonObject {
  return Object.fromEntries(entries.map(([key, value]) => [key, nested(value)]))
}

function keyOf(key: DuckDBValue): string {
  const value = nested(key)
  return typeof value === 'string' ? value : writeJson(value)
}
