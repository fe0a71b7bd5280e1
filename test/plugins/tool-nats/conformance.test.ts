import { conformanceCases } from '@noetl/core/conformance'
import t from 'tap'
import { natsTool } from '../../../plugins/tool-nats/tool.ts'
import { natsServer, PASSWORD } from './nats-server.ts'

const server = await natsServer(t)
await (await server.admin()).jetstream().views.kv('orders')
// A server that takes connections and never says a word: the longest that a call can wait.
const frozen = await natsServer(t)
await frozen.freeze()

for (const { name, run } of conformanceCases({
  makeTool: () => natsTool(),
  works: {
    input: { operation: 'kv_put', auth: 'nats', bucket: 'orders', key: 'a', value: { n: 1 } },
    check: (result) => t.match(result, { status: 'success', bucket: 'orders', key: 'a', revision: Number }),
  },
  fails: {
    input: {
      operation: 'kv_put',
      auth: { nats_url: server.url, nats_user: 'ada', nats_password: `not-${PASSWORD}` },
      bucket: 'orders',
      key: 'a',
      value: 1,
    },
    kind: 'auth',
  },
  slow: { input: { operation: 'kv_get', auth: 'frozen', bucket: 'orders', key: 'a', timeout: 60 } },
  refused: { input: { operation: 7 } },
  credentials: { nats: server.credential(), frozen: frozen.credential() },
  secrets: [PASSWORD],
})) {
  t.test(`nats conforms: ${name}`, run)
}
