// Finds or gets what npm does not bring (a nats-server, Python's Postgres client) and says which it is: the part
// of the set-up that needs the sources.
import { findNatsServer } from '../cli/local/nats-binary.ts'
import { findPsycopg } from '../cli/local/python-packages.ts'

try {
  const dir = process.argv[2] ?? '.noetl'
  const { how } = await findNatsServer({
    dir,
    say: (line) => process.stderr.write(`… ${line}\n`),
  })
  const psycopg = await findPsycopg({ python: process.env.NOETL_PYTHON || 'python3', dir })
  process.stdout.write(`nats-server, ${how}\n${psycopg}\n`)
} catch (error) {
  process.stderr.write(`✗ ${(error as Error).message}\n`)
  process.exitCode = 1
}
