import type { JsonObject, ToolCall } from '@noetl/core'
import pg from 'pg'
import type { Test } from 'tap'
import type { TransferInput } from '../../../plugins/tool-transfer/input.ts'
import { type TransferToolOptions, transferTool } from '../../../plugins/tool-transfer/tool.ts'
import { credentialOf, testDatabase } from '../../support/postgres.ts'
import type { Teardown } from '../../support/teardown.ts'
import { toolCall } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'

/** A database of the file's own, a connection to look at it, and what a credential for it holds. */
export async function openDatabase(t: Teardown) {
  const { url } = await testDatabase(t, { migrated: false })
  const data = credentialOf(url)
  const client = new pg.Client(url)
  await client.connect()
  t.teardown(() => client.end())
  const stored = { '': { type: 'postgres', data }, pg: { type: 'postgres', data } }
  return {
    url,
    data,
    client,
    /** Rows of a query. */
    async rows(sql: string): Promise<JsonObject[]> {
      return (await client.query(sql)).rows
    },
    /** A tool, closed with the test, and a way to run it. */
    open(t: Teardown, options: TransferToolOptions = {}) {
      const tool = transferTool(options)
      t.teardown(() => tool.close?.())
      return async (fields: TransferInput, call: Partial<ToolCall> = {}) =>
        (await tool.run(fields, toolCall({ stored, ...call }))) as JsonObject
    },
    /** Waits until no connection of a transfer is left on the server. */
    async noneLeft(): Promise<void> {
      await until('the connections of transfers to be gone', async () => {
        const { rowCount } = await client.query(
          `SELECT 1 FROM pg_stat_activity WHERE application_name = 'noetl-tool-transfer' AND datname = current_database()`,
        )
        return rowCount === 0
      })
    },
  }
}

/** A test that fails when an error shows a password. */
export function hides(t: Test, error: unknown, ...secrets: string[]): void {
  const told = error instanceof Error ? `${error.message} ${JSON.stringify(error)}` : String(error)
  for (const secret of secrets) t.notOk(told.includes(secret), 'it shows a secret')
}
