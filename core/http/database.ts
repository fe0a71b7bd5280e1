import type { FastifyInstance } from 'fastify'
import { migrate, readSchema } from '../store/migrate.ts'
import type { Parts } from './parts.ts'

/** `/api/db/…`: the schema of the gateway's own database. */
export function databaseRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  let migrating: ReturnType<typeof migrate> | undefined

  app.post(
    `${prefix}/db/init`,
    { schema: { summary: 'Brings the database to the newest schema' } },
    async () => {
      // It takes a connection of its own: those who ask meanwhile get the same answer.
      migrating ??= migrate(parts.config.databaseUrl).finally(() => {
        migrating = undefined
      })
      const { applied, version } = await migrating
      return { status: 'ok', applied, version, message: `The schema has version ${version}.` }
    },
  )

  app.get(
    `${prefix}/db/validate`,
    { schema: { summary: 'Whether the database has the schema that this server needs' } },
    async () => {
      const { found, needed, missing } = await readSchema(parts.pools.durable)
      const valid = found >= needed && missing.length === 0
      return { status: valid ? 'ok' : 'error', valid, version: found, needed, missing }
    },
  )
}
