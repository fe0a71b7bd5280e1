import t from 'tap'
import { testGateway } from '../support/gateway.ts'

t.test(
  'NATS goes and does not come back: workers ask for work themselves',
  { timeout: 90_000 },
  async (t) => {
    const gateway = await testGateway(t, { plugins: ['@noetl/tool-http'] })
    const path = await gateway.register(`metadata: {path: short}
workflow:
- {step: start, tool: {kind: noop}, next: {arcs: [{step: work}]}}
- {step: work, tool: {kind: noop}, set: {ctx.n: 42}, next: {arcs: [{step: end}]}}
- {step: end, tool: {kind: noop}}`)
    await gateway.nats.kill()
    const ids = await Promise.all(Array.from({ length: 5 }, () => gateway.execute(path)))
    for (const id of ids) {
      const run = await gateway.ended(id, 60_000)
      t.equal(run.status, 'COMPLETED')
      t.same(run.variables, { n: 42 })
      const done = run.events.filter((event) => event.event_type === 'call.done')
      t.equal(done.length, 3, 'each step ran once')
    }
    await gateway.nats.start()
  },
)
