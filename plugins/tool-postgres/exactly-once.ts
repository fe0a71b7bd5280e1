import { type Json, type JsonObject, parseJson, type ToolCall, ToolError, writeJson } from '@noetl/core'
import pg from 'pg'
import { kindOf, statementFailure } from './failures.ts'
import type { Session } from './session.ts'
import type { Settings } from './settings.ts'
import type { Placed } from './sources.ts'

/** Markers older than this are deleted: no call is repeated after so long. */
const KEPT_DAYS = 30
/** How often old markers of one database are looked for, in milliseconds, and how many go at a time. */
const CLEAN_EVERY_MS = 3_600_000
const CLEANED_AT_ONCE = 1000
/** Databases whose last cleaning is remembered. */
const MAX_REMEMBERED = 1000
/**
 * Between two statements no time passes but that of the network. Who is not heard of for so long stands still or is
 * cut off, and has lost its lease or soon will: the server ends it, for its repeat waits for it.
 */
const STILL_MS = 10_000
/** Several that make the table at once may disturb each other; so it is tried again. */
const CREATE_TRIES = 5

const UNDEFINED_TABLE = '42P01'
/** What a server says of two that make the same table at once. */
const CREATED_MEANWHILE = new Set(['23505', '42P07', '42710', 'XX000'])
/** A statement that needs to be outside of a transaction, or that ends one. */
const UNFIT = new Set(['25001', '2D000', '25000'])

/**
 * Runs the statements of a call and leaves a marker in the same transaction. The marker comes first: of two that
 * hold one call, the second waits for the first, and then finds its result, or finds nothing and runs itself.
 */
export function openOnce(options: { table: string; maxBytes: number }) {
  const { maxBytes } = options
  const table = quoted(options.table)
  // json, not jsonb: a repeat gives the same text, also the order of columns and what jsonb cannot hold.
  const create = `CREATE TABLE IF NOT EXISTS ${table} (key text PRIMARY KEY, execution_id text NOT NULL,
  step text NOT NULL, attempt integer NOT NULL, result json, completed_at timestamptz NOT NULL DEFAULT now())`
  const cleaned = new Map<string, number>()

  /** Begins the transaction with the marker; false when it is there already. */
  async function begin(client: pg.ClientBase, call: ToolCall): Promise<boolean> {
    for (let tries = 1; ; tries++) {
      // In any other isolation, one who has waited for a marker would fail instead of seeing it.
      await client.query(
        `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL idle_in_transaction_session_timeout = ${STILL_MS}`,
      )
      try {
        const { rowCount } = await client.query(
          `INSERT INTO ${table} (key, execution_id, step, attempt) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
          [call.idempotencyKey, call.executionId, call.step, call.attempt],
        )
        return rowCount === 1
      } catch (error) {
        if (codeOf(error) !== UNDEFINED_TABLE || tries === CREATE_TRIES) throw error
        await client.query('ROLLBACK')
        await client.query(create).catch((failure: unknown) => {
          if (!CREATED_MEANWHILE.has(codeOf(failure) ?? '')) throw failure
        })
      }
    }
  }

  async function recorded(client: pg.ClientBase, key: string): Promise<JsonObject> {
    const { rows } = await client.query<{ result: string | null }>(
      `SELECT result::text FROM ${table} WHERE key = $1`,
      [key],
    )
    await client.query('COMMIT')
    const text = rows[0]?.result
    if (text == null) {
      throw new ToolError(
        'tool_error',
        `exactly_once: the marker ${key} in ${table} has no result, so it was changed from outside: see what was done, and delete or complete it.`,
      )
    }
    return parseJson(text) as JsonObject
  }

  async function finish(client: pg.ClientBase, key: string, result: Json): Promise<void> {
    const text = writeJson(result)
    const bytes = Buffer.byteLength(text)
    if (bytes > maxBytes) {
      throw new ToolError(
        'schema',
        `The result has ${bytes} bytes, and with exactly_once at most ${maxBytes} are recorded for a repeat, so nothing of the call was kept: select less, or read it in a step of its own.`,
      )
    }
    const { rowCount } = await client.query(
      `UPDATE ${table} SET result = $2, completed_at = clock_timestamp() WHERE key = $1`,
      [key, text],
    )
    if (rowCount !== 1) {
      throw new ToolError(
        'schema',
        `The marker that exactly_once needs is not in ${table} any more, so nothing of the call was kept: the statements must not touch it, nor set the search_path (use SET LOCAL in a function, or names with a schema).`,
      )
    }
    await client.query('COMMIT')
  }

  /** Now and then, after a call is done; what goes wrong here is not its fault. */
  async function clean(client: pg.ClientBase, settings: Settings, call: ToolCall): Promise<void> {
    const where = `${settings.host}:${settings.port}/${settings.database}`
    const now = Date.now()
    if (now - (cleaned.get(where) ?? Number.NEGATIVE_INFINITY) < CLEAN_EVERY_MS) return
    if (cleaned.size >= MAX_REMEMBERED) cleaned.clear()
    cleaned.set(where, now)
    await client
      .query(
        `DELETE FROM ${table} WHERE key IN (SELECT key FROM ${table}
           WHERE completed_at < now() - interval '${KEPT_DAYS} days' LIMIT ${CLEANED_AT_ONCE} FOR UPDATE SKIP LOCKED)`,
      )
      .catch((error: Error) =>
        call.log.warn({ table: options.table, why: error.message }, 'old markers could not be deleted'),
      )
  }

  return {
    async run(
      { session, settings, call }: { session: Session; settings: Settings; call: ToolCall },
      statements: () => Promise<JsonObject>,
    ): Promise<JsonObject> {
      const { client } = session
      const failed = (what: string) => (error: unknown) => {
        session.throwIfStopped()
        throw error instanceof ToolError ? error : markerFailure(error, { what, settings, create })
      }
      if (!(await begin(client, call).catch(failed('its marker')))) {
        call.log.info({ key: call.idempotencyKey }, 'the call was done before; its recorded result is given')
        return recorded(client, call.idempotencyKey).catch(failed('the recorded result'))
      }
      const result = await statements().catch((error: unknown) => {
        throw error instanceof ToolError ? asUndone(error) : error
      })
      await finish(client, call.idempotencyKey, result).catch(failed('the commit'))
      await clean(client, settings, call)
      return result
    },
  }
}

/** Throws ToolError `schema` for statements that end a transaction or cannot be in one. */
export function refuseUnfit(statements: readonly Placed[]): void {
  for (const [ordinal, { text, keyword, line }] of statements.entries()) {
    const words = wordsOf(text)
    const what = unfit(keyword, words)
    if (what === undefined) continue
    throw new ToolError(
      'schema',
      `command_${ordinal} (line ${line}) is ${what}, which cannot be in the one transaction that exactly_once makes: leave it out, or move it into a step without exactly_once.`,
    )
  }
}

/** The statement in its words, if it is one of these; a server refuses those that are not known here. */
function unfit(keyword: string, words: string[]): string | undefined {
  const second = words[1] ?? ''
  switch (keyword) {
    case 'BEGIN':
    case 'START':
    case 'COMMIT':
    case 'END':
    case 'ABORT':
    case 'VACUUM':
      return keyword
    case 'ROLLBACK':
      // ROLLBACK [WORK | TRANSACTION] TO: to a savepoint.
      return words.slice(1, 3).includes('TO') ? undefined : keyword
    case 'PREPARE':
      return second === 'TRANSACTION' ? 'PREPARE TRANSACTION' : undefined
    case 'ALTER':
      return second === 'SYSTEM' ? 'ALTER SYSTEM' : undefined
    case 'CREATE':
    case 'DROP':
      if (second === 'DATABASE' || second === 'TABLESPACE') return `${keyword} ${second}`
      return words.slice(2, 4).includes('CONCURRENTLY') ? `${keyword} … CONCURRENTLY` : undefined
    default:
      return undefined
  }
}

/** The first words, without the comments before and between them. */
function wordsOf(text: string): string[] {
  const bare = text.slice(0, 10_000).replace(/--[^\n\r]*|\/\*[\s\S]*?\*\//g, ' ')
  return bare
    .trim()
    .toUpperCase()
    .split(/[\s(;]+/, 5)
}

/** A failure of a statement, whose call is rolled back as a whole. */
function asUndone(error: ToolError): ToolError {
  const { kind, code, retryable, status, retryAfterSeconds, facets } = error
  const why = UNFIT.has(code ?? '')
    ? 'exactly_once makes one transaction of all statements'
    : 'as exactly_once has it'
  return new ToolError(kind, `${error.message}; nothing of the call was kept, ${why}`, {
    retryable,
    facets,
    ...(code === null ? {} : { code }),
    ...(status === null ? {} : { status }),
    ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }),
  })
}

function markerFailure(error: unknown, at: { what: string; settings: Settings; create: string }): ToolError {
  const code = codeOf(error)
  if (!(error instanceof pg.DatabaseError) || code === undefined) {
    return statementFailure(error, { ordinal: 0, line: 1, result: null, settings: at.settings })
  }
  const cure =
    code === '42501' || code === '3F000'
      ? ` One who may make the table that exactly_once needs can do so beforehand, and grant SELECT, INSERT, UPDATE and DELETE: ${at.create}`
      : ''
  return new ToolError(
    kindOf(code),
    `exactly_once: ${at.what} failed, and nothing of the call was kept: ${error.message}.${cure}`,
    { code, facets: { pg: { code, sqlstate: code } } },
  )
}

function codeOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined
}

function quoted(name: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}([.][a-z_][a-z0-9_]{0,62})?$/.test(name)) {
    throw new Error(
      `completedTable is "${name}"; a name such as noetl_completed or schema.table was expected`,
    )
  }
  return name
    .split('.')
    .map((part) => `"${part}"`)
    .join('.')
}
