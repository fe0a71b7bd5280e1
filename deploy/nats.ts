// Finds or gets a nats-server and says which it is: the part of the set-up that needs the sources.
import { findNatsServer } from '../cli/local/nats-binary.ts'

try {
  const { how } = await findNatsServer({
    dir: process.argv[2] ?? '.noetl',
    say: (line) => process.stderr.write(`… ${line}\n`),
  })
  process.stdout.write(`nats-server, ${how}\n`)
} catch (error) {
  process.stderr.write(`✗ ${(error as Error).message}\n`)
  process.exitCode = 1
}
