import { conformanceCases } from '@noetl/core/conformance'
import t from 'tap'
import { postgresTool } from '../../../plugins/tool-postgres/tool.ts'
import { credentialOf, testDatabase } from '../../support/postgres.ts'

const { url } = await testDatabase(t, { migrated: false })
const data = credentialOf(url)

for (const { name, run } of conformanceCases({
  makeTool: () => postgresTool(),
  works: {
    input: { query: 'SELECT $1::int + 1 AS n', params: [1], auth: 'db' },
    check: (result) => t.match(result, { rows: [{ n: 2 }], row_count: 1 }),
  },
  fails: { input: { query: 'SELECT no_such_column', auth: 'db' }, kind: 'schema' },
  slow: { input: { query: 'SELECT pg_sleep(60)', auth: 'db' } },
  refused: { input: { query: 7 } },
  credentials: { db: { type: 'postgres', data } },
  secrets: [String(data.db_password)],
})) {
  t.test(`postgres conforms: ${name}`, run)
}
