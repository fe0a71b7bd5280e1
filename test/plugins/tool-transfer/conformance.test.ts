import { conformanceCases } from '@noetl/core/conformance'
import t from 'tap'
import { transferTool } from '../../../plugins/tool-transfer/tool.ts'
import { openDatabase } from './support.ts'

const { client, data } = await openDatabase(t)
await client.query('CREATE TABLE taken (id int, name text)')
const target = { type: 'postgres', auth: 'db', table: 'taken', mode: 'append' }

for (const { name, run } of conformanceCases({
  makeTool: () => transferTool(),
  works: {
    input: {
      source: {
        type: 'postgres',
        auth: 'db',
        query: "SELECT n AS id, 'x' AS name FROM generate_series(1, 3) n",
      },
      target,
    },
    check: (result) => t.match(result, { status: 'success', rows_transferred: 3, columns: ['id', 'name'] }),
  },
  fails: {
    input: { source: { type: 'postgres', auth: 'db', query: "SELECT 'x' AS id" }, target },
    kind: 'schema',
  },
  slow: {
    input: { source: { type: 'postgres', auth: 'db', query: 'SELECT 1 AS id FROM pg_sleep(60)' }, target },
  },
  refused: { input: { source: 7, target } },
  credentials: { db: { type: 'postgres', data } },
  secrets: [String(data.db_password)],
})) {
  t.test(`transfer conforms: ${name}`, run)
}
