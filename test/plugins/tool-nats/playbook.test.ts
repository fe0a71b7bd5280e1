import t from 'tap'
import { testGateway } from '../../support/gateway.ts'
import { natsServer } from './nats-server.ts'

t.test(
  'nats: a playbook puts, reads, branches on what is missing and catches a missing bucket',
  async (t) => {
    const server = await natsServer(t)
    await (await server.admin()).jetstream().views.kv('sessions')
    const gateway = await testGateway(t, { plugins: ['@noetl/tool-nats'] })
    await gateway.client.request('POST', '/api/credentials', {
      name: 'nats_credential',
      ...server.credential(),
    })
    const run = await gateway.run(
      `
metadata: {path: nats_round}
workload: {user: ada}
workflow:
  - step: start
    tool:
      - {name: put, kind: nats, auth: nats_credential, operation: kv_put, bucket: sessions, key: "user.{{ user }}", value: {visits: 3}}
      - {name: got, kind: nats, auth: nats_credential, operation: kv_get, bucket: sessions, key: "user.{{ user }}"}
      - {name: absent, kind: nats, auth: nats_credential, operation: kv_get, bucket: sessions, key: user.nobody}
      - name: told
        kind: noop
        result: {visits: "{{ got.value.visits + 1 }}", same: "{{ put.revision == got.revision }}", known: "{{ absent.found }}", status: "{{ absent.status }}"}
    next:
      arcs: [{step: wrong}]
  - step: wrong
    tool: {kind: nats, auth: nats_credential, operation: kv_get, bucket: nowhere, key: a}
    next:
      arcs:
        - {step: end, when: "{{ event.name == 'call.error' and output.error.kind == 'not_found' }}"}
  - step: end
    tool: {kind: noop, result: "{{ start }}"}
`,
    )
    t.equal(run.error, null)
    t.match(run, {
      status: 'COMPLETED',
      result: { visits: 4, same: true, known: false, status: 'not_found' },
    })
  },
)
