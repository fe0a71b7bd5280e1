// npm run check-history -- --database-url postgresql://…
import { parseArgs } from 'node:util'
import { checkDatabase } from '../support/history-database.ts'

const { values } = parseArgs({ options: { 'database-url': { type: 'string' } } })
const url = values['database-url'] ?? process.env.DATABASE_URL
if (url === undefined) {
  console.error('npm run check-history -- --database-url <postgresql://…>')
  process.exit(2)
}
let shown = 0
const { executions, events, forgotten, faults } = await checkDatabase(url, ({ executions, faults }) => {
  for (const fault of faults.slice(shown)) console.log(`✗ ${fault}`)
  shown = faults.length
  if (executions % 2000 === 0 && executions > 0) console.log(`${executions} executions`)
})
console.log(
  `${executions} executions, ${events} events, ${faults.length} faults${forgotten > 0 ? `, ${forgotten} without events` : ''}`,
)
process.exitCode = faults.length > 0 ? 1 : 0
