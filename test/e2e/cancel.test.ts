import t from 'tap'
import { listen } from '../../core/channels.ts'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, { worker: true })
const QUEUED = 3000

t.test(
  'cancel: what was queued of a cancelled loop is passed over, and new work is not behind it',
  async (t) => {
    await gateway.register(`metadata: {path: cancel/wide}
workload: {n: ${QUEUED}}
workflow:
- step: start
  loop: {in: "{{ n }}", iterator: i, spec: {mode: parallel, max_in_flight: ${QUEUED}}}
  tool: {kind: noop, result: "{{ i }}"}`)
    await gateway.register(
      'metadata: {path: cancel/next}\nworkflow: [{step: start, tool: {kind: noop, result: 1}}]',
    )
    const asked = { claimed: 0, refused: 0 }
    const stop = listen('noetl:claimed', ({ claimed, refused }) => {
      asked.claimed += claimed
      asked.refused += refused
    })
    t.teardown(stop)
    const id = await gateway.execute('cancel/wide')
    await gateway.client.request('POST', `/api/executions/${id}/cancel`, {})
    const queue = await gateway.client.request<{ queued_commands: string }>('GET', '/api/status')
    t.equal(Number(queue.queued_commands), 0, 'the queue is empty when the answer comes')
    asked.refused = 0
    const begun = Date.now()
    const next = await gateway.ended(await gateway.execute('cancel/next'))
    t.comment(
      `new work took ${Date.now() - begun} ms; ${asked.claimed} claims given, ${asked.refused} refused`,
    )
    t.equal(next.status, 'COMPLETED')
    t.ok(asked.refused < 500, `of ${QUEUED} hints few were asked for: ${asked.refused}`)
  },
)
