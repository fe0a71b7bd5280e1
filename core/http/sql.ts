import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import type { Json } from '../schemas/json.ts'
import { getCredential, openCredential } from '../store/credentials.ts'
import { type ClientResult, runClientStatement } from '../store/sql.ts'
import type { Parts } from './parts.ts'
import { Anything, Maybe } from './shapes.ts'

const Text = Maybe(Type.String({ maxLength: 1_000_000 }))
const Identifier = Maybe(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_$-]{0,62}$' }))
const Execute = Type.Object({
  query: Text,
  query_base64: Text,
  procedure: Text,
  parameters: Maybe(Type.Array(Anything, { maxItems: 1000 })),
  schema: Identifier,
  db_schema: Identifier,
  database: Identifier,
  credential: Maybe(Type.String({ minLength: 1, maxLength: 400 })),
  connection_string: Maybe(Type.String()),
  row_format: Maybe(Type.Union([Type.Literal('objects'), Type.Literal('arrays')])),
})
type Execute = Static<typeof Execute>

const LIMITS = { seconds: 30, rows: 10_000, bytes: 16 * 1024 * 1024 }
/** Statements of clients under way at once; each has a connection of its own. */
const AT_ONCE = 8

/**
 * `POST /api/postgres/execute`: off unless NOETL_SQL_API says otherwise, because whoever may call it may do
 * what the credential may. One statement, bound values, limits of time, rows and bytes.
 */
export function sqlRoutes(
  app: FastifyInstance,
  parts: Parts,
  { prefix, running }: { prefix: string; running: { count: number } },
): void {
  app.post<{ Body: Execute }>(
    `${prefix}/postgres/execute`,
    { schema: { body: Execute, summary: 'Runs one SQL statement with a stored credential; off by default' } },
    async (request) => {
      if (!parts.config.sqlApi) throw makeError('NOETL_ERR_SQL_API_OFF', [])
      const { body } = request
      const query = readQuery(body)
      if (body.connection_string !== undefined && body.connection_string !== null) {
        throw makeError('NOETL_ERR_REQUEST_INVALID', [
          'body/connection_string is not taken: store it as a credential and name that',
        ])
      }
      const name = body.credential ?? parts.config.worker.defaultPostgresCredential
      if (name === undefined) {
        throw makeError('NOETL_ERR_REQUEST_INVALID', ['body must have credential, the name of a stored one'])
      }
      const connection = await openPostgres(parts, name)
      if (running.count >= AT_ONCE) throw makeError('NOETL_ERR_SATURATED', [1])
      running.count += 1
      const started = Date.now()
      try {
        const { database } = body
        const schema = body.schema ?? body.db_schema
        const result = await runClientStatement({
          connection,
          query,
          parameters: (body.parameters ?? []) as Json[],
          rowFormat: body.row_format ?? 'objects',
          limits: LIMITS,
          ...(database ? { database } : {}),
          ...(schema ? { schema } : {}),
        })
        tell(parts, result, { credential: name, ms: Date.now() - started })
        return result
      } finally {
        running.count -= 1
      }
    },
  )
}

async function openPostgres(parts: Parts, name: string) {
  const pool = parts.pools.durable
  const entry = await getCredential(pool, name)
  if (entry === undefined) throw makeError('NOETL_ERR_CREDENTIAL_NOT_FOUND', [name, ''])
  if (!/^(postgres|postgresql|pg)$/i.test(entry.type)) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [
      `credential ${name} is of type "${entry.type}"; postgres was expected`,
    ])
  }
  return (await openCredential(pool, parts.config.encryptionKey, entry.name)) ?? {}
}

function readQuery(body: Execute): string {
  const { query, query_base64, procedure } = body
  const given = [query, query_base64, procedure].filter((text) => text !== undefined && text !== null)
  if (given.length !== 1) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [
      `body must have one of query, query_base64 and procedure; seen: ${given.length} of them`,
    ])
  }
  if (typeof query_base64 === 'string') {
    const compact = query_base64.replace(/\s+/g, '')
    const bytes = Buffer.from(compact, 'base64')
    if (bytes.toString('base64').replace(/=+$/, '') === compact.replace(/=+$/, ''))
      return bytes.toString('utf8')
    throw makeError('NOETL_ERR_REQUEST_INVALID', ['body/query_base64 is no base64'])
  }
  if (typeof procedure === 'string' && !/^\s*call\s/i.test(procedure)) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', ['body/procedure must be a CALL statement'])
  }
  return query ?? procedure ?? ''
}

/** Who did what is worth a line; the statement and its values may be secret. */
function tell(parts: Parts, result: ClientResult, about: { credential: string; ms: number }): void {
  const outcome = result.status === 'ok' ? { rows: result.row_count } : { code: result.code }
  parts.log.info({ ...about, status: result.status, ...outcome }, 'a client ran SQL')
}
