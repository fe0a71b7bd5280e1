import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Task } from '../schemas/playbook.ts'
import { installHint } from '../schemas/plugin-packages.ts'
import { hasTemplate } from '../template/tokens.ts'
import { allOf, renameInCondition, renameInTemplate, soleExpression } from './conditions.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { readFrom } from './seed-names.ts'
import { duckdbWrite, postgresWrite, type Write } from './seed-sql.ts'
import { text, wordOf } from './values.ts'

export interface SinkAbout {
  step: string
  /** Name under which the result is bound that the sink writes. */
  result: string
  toolKinds: readonly string[] | undefined
  known: ReadonlySet<string>
  faults: Faults
}

const MODES = new Map<string, Write['mode']>([
  ['insert', 'append'],
  ['append', 'append'],
  ['replace', 'replace'],
  ['overwrite', 'replace'],
  ['upsert', 'upsert'],
  ['merge', 'upsert'],
])

/** Fields of a sink that say what is written where; others are the tool's own. */
export const SINK_KEYS: readonly string[] = [
  'backend',
  'tool',
  'kind',
  'type',
  'name',
  'desc',
  'when',
  'table',
  'mode',
  'key',
  'keys',
  'from',
  'data',
  'args',
  'connection',
  'credential',
  'auth',
]

/**
 * `sink: {backend|tool, table, from|data|args, connection|auth, mode, key}` as a task that runs beside the step's own
 * tool. Into `postgres` and `duckdb` it inserts rows: `args` is one row, column by column; `from` or `data` gives a
 * row or a list of rows, by default the result. To `http` it sends them. A sink of any other tool, or with SQL of its
 * own, is that tool with the sink's fields.
 */
export function readSink(
  value: Json,
  path: Path,
  when: Json | undefined,
  about: SinkAbout,
): Omit<Task, 'label'> | undefined {
  const { faults, step } = about
  const sink: Json = typeof value === 'string' ? { table: value } : value
  if (!isObject(sink)) {
    faults.fault(path, `the sink of step "${step}" must be a mapping such as {tool: postgres, table: <name>}`)
    return undefined
  }
  const own = isObject(sink.tool) ? sink.tool : {}
  const fields: JsonObject = { ...sink, ...own }
  const kind = kindOfSink(sink, own)
  if (about.toolKinds !== undefined && !about.toolKinds.includes(kind)) {
    faults.fault(
      path,
      `the sink of step "${step}" is of the kind "${kind}", which no plugin brings; there are: ${about.toolKinds.join(', ')}${installHint(kind)}`,
      nearest(kind, about.toolKinds)[0],
    )
    return undefined
  }
  const names = new Map([
    ...namesIn(about),
    // The envelope: how the call went, and the result's own keys flat beside it.
    ...['this', 'output'].map((name) => [name, `_outputs.${about.result}`] as const),
    // What a result is the envelope of, or itself.
    ['data', `${about.result}.data`],
    // A failure that sinks are written after is bound as an envelope.
    ['error', `${about.result}.error`],
  ])
  const auth = fields.auth ?? fields.credential ?? fields.connection
  const rest = Object.fromEntries(Object.entries(fields).filter(([key]) => !SINK_KEYS.includes(key)))
  const common = {
    set: {},
    rules: [],
    aside: true as const,
  }
  const holds = allOf(when, renameInCondition(fields.when ?? undefined, namesIn(about)))
  const condition = holds === undefined ? {} : { when: holds }
  if ((kind === 'postgres' || kind === 'duckdb') && fields.table !== undefined) {
    const write = readWrite(fields, path, { ...about, names })
    if (write === undefined) return undefined
    const config: JsonObject = {
      ...(renameInTemplate(rest, names) as JsonObject),
      ...(kind === 'postgres'
        ? { command: postgresWrite(write), params: [`{{ ${write.rows} | tojson }}`] }
        : { command: duckdbWrite(write), params: { rows: `{{ ${write.rows} | tojson }}` } }),
      ...(auth === undefined
        ? {}
        : kind === 'duckdb' && fields.database === undefined
          ? { database: auth }
          : { auth }),
    }
    const some = allOf(holds, write.some)
    return {
      kind,
      config,
      input: { [ROWS]: write.data },
      ...common,
      ...(some === undefined ? {} : { when: some }),
    }
  }
  const data = dataOf(fields, names, about)
  const given = auth === undefined ? {} : { auth }
  if (kind === 'http') {
    const config = { method: 'POST', json: data, ...(renameInTemplate(rest, names) as JsonObject), ...given }
    return { kind, config, input: {}, ...common, ...condition }
  }
  if (
    (kind === 'postgres' || kind === 'duckdb') &&
    !['command', 'query', 'commands', 'script'].some((key) => key in rest)
  ) {
    faults.fault(path, `the sink of step "${step}" needs "table: <name>"`)
    return undefined
  }
  const input = isObject(data) ? data : { data }
  return {
    kind,
    config: { ...(renameInTemplate(rest, names) as JsonObject), ...given },
    input,
    ...common,
    ...condition,
  }
}

/** Name of the argument that holds the rows; the step's own arguments are beside it. */
const ROWS = '_rows'

/** The tool kind that a sink writes with. */
export function kindOfSink(sink: JsonObject, own: JsonObject): string {
  const named = own.kind ?? own.type ?? (typeof sink.tool === 'string' ? sink.tool : undefined)
  const kind = wordOf(named ?? sink.backend ?? sink.kind ?? sink.type ?? 'postgres')
  return kind === 'pg' || kind === 'postgresql' ? 'postgres' : kind
}

/** The result is bound to the tool's label, while `result` and its like are of the step before, or of another sink. */
function namesIn({ step, result }: SinkAbout): ReadonlyMap<string, string> {
  return new Map(['result', 'response', step].map((name) => [name, result]))
}

/** What is written: rows of a table, or what is sent. */
function dataOf(fields: JsonObject, names: ReadonlyMap<string, string>, about: SinkAbout): Json {
  const given = fields.args ?? fields.data ?? fields.from
  const from = given === undefined || given === null ? '{{ result.data }}' : readFrom(given, about.known)
  return renameInTemplate(from, names)
}

function readWrite(
  fields: JsonObject,
  path: Path,
  about: SinkAbout & { names: ReadonlyMap<string, string> },
): (Write & { data: Json; some: Json | undefined }) | undefined {
  const { faults, step, names } = about
  const table = text(fields.table, [...path, 'table'], faults)
  const mode = MODES.get(wordOf(fields.mode ?? 'append').toLowerCase())
  if (mode === undefined) {
    faults.fault(
      [...path, 'mode'],
      `mode is ${JSON.stringify(fields.mode)}; insert, append, upsert or replace was expected`,
      nearest(wordOf(fields.mode), MODES.keys())[0],
    )
  }
  const key = keysOf(fields.key ?? fields.keys)
  if (mode === 'upsert' && key.length === 0) {
    faults.fault(
      path,
      `mode: upsert of the sink of step "${step}" needs "key: <column>", or a list of columns`,
    )
  }
  const data = dataOf(fields, names, about)
  const columns = isObject(data) ? Object.keys(data) : undefined
  const odd = [...(columns ?? []), ...key].find(hasTemplate)
  if (odd !== undefined) faults.fault(path, `the column ${JSON.stringify(odd)} may hold no template`)
  if (columns?.length === 0) faults.fault(path, `the sink of step "${step}" writes no columns`)
  if (table === undefined || mode === undefined) return undefined
  return {
    table: renameInTemplate(table, names) as string,
    columns,
    rows: `input.${ROWS}`,
    // Rows of a key that is there already are replaced.
    mode: mode === 'replace' && key.length > 0 ? 'upsert' : mode,
    key,
    ...rowsOf(data),
  }
}

/** The data as a list of rows, and a condition that there are any: an empty list is nothing to write. */
function rowsOf(data: Json): { data: Json; some: Json | undefined } {
  if (isObject(data)) return { data: [data], some: undefined }
  const expression = typeof data === 'string' ? soleExpression(data) : undefined
  if (expression === undefined) return { data, some: undefined }
  return {
    data: `{{ [${expression}] if (${expression}) is mapping else (${expression}) }}`,
    some: `{{ ${expression} }}`,
  }
}

function keysOf(value: Json | undefined): string[] {
  if (value === undefined || value === null) return []
  const list = Array.isArray(value) ? value : wordOf(value).split(',')
  return list.map((name) => wordOf(name).trim()).filter((name) => name !== '')
}
