import { resolve } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import { type Credential, type JsonObject, ToolError } from '@noetl/core'
import { conninfoOf, identifier, quote, secretsIn } from './attach.ts'
import { firstLine, redact } from './failures.ts'
import type { DuckdbInput } from './input.ts'

/**
 * Attaches the DuckLake catalog that a step names and makes it the one that its SQL means. The catalog is what
 * `catalog_connection` says in DuckDB's words (`postgres:dbname=lake`, a file), or the postgres credential of `auth`.
 * Returns the texts that no error may show.
 */
export async function attachLake(
  connection: DuckDBConnection,
  fields: DuckdbInput,
  { dataDir, credentials }: { dataDir: string; credentials: (alias: string) => Promise<Credential> },
): Promise<string[]> {
  const { catalog, secrets } = await findCatalog(fields, credentials)
  const name = identifier(fields.catalog_name ?? 'lake')
  const path = fields.data_path ?? ''
  const place = path === '' || path.includes('://') ? path : resolve(dataDir, path)
  const options = place === '' ? '' : ` (DATA_PATH ${quote(place)})`
  await run('LOAD ducklake', (why) => {
    return `DuckDB's extension ducklake cannot be loaded: ${why} Run INSTALL ducklake in a duckdb of this version, as the user that the worker runs as.`
  })
  for (const statement of [`ATTACH ${quote(`ducklake:${catalog}`)} AS ${name}${options}`, `USE ${name}`]) {
    await run(statement, (why) => `The catalog ${name} could not be attached: ${why}`)
  }
  return secrets

  async function run(statement: string, told: (why: string) => string): Promise<void> {
    try {
      await connection.run(statement)
    } catch (error) {
      // No cause: DuckDB's whole message quotes the SQL, and causes are logged.
      throw new ToolError('storage_access', told(redact(firstLine(error), secrets)))
    }
  }
}

async function findCatalog(
  { catalog_connection: given, auth, credential }: DuckdbInput,
  credentials: (alias: string) => Promise<Credential>,
): Promise<{ catalog: string; secrets: string[] }> {
  if (typeof given === 'string' && given !== '') {
    const secrets = [.../password=('[^']*'|\S+)/g[Symbol.matchAll](given)].map(([, word]) => word!)
    return { catalog: given.replace(/^ducklake:/, ''), secrets }
  }
  const alias = auth ?? credential
  if (typeof alias !== 'string' || alias === '') {
    throw new ToolError(
      'schema',
      'The ducklake tool needs its catalog: "catalog_connection", such as postgres:dbname=lake or the path of a file, or "auth" with a postgres credential.',
    )
  }
  const { type, data } = await credentials(alias)
  if (type !== 'postgres') {
    throw new ToolError(
      'auth',
      `"${alias}" has the type "${type}"; a catalog of ducklake is in a database of the type postgres.`,
    )
  }
  return { catalog: `postgres:${conninfoOf(data as JsonObject)}`, secrets: secretsIn(data as JsonObject) }
}
