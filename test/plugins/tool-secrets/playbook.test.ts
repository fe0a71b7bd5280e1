import t from 'tap'
import { testGateway } from '../../support/gateway.ts'
import { json, webServer } from '../tool-http/web-server.ts'
import { SECRET, withVariables } from './read.ts'

t.test('secrets: steps and a keychain of a playbook read them, and the error of one is caught', async (t) => {
  withVariables(t, { NOETL_SECRET_ONE: 'one' })
  const vault = await webServer(t, ({ headers }, response) =>
    headers['x-vault-token'] === 'tok'
      ? json(response, { data: { data: { password: SECRET } } })
      : json(response, {}, 403),
  )
  const gateway = await testGateway(t, { plugins: ['@noetl/tool-secrets'] })
  const data = { url: vault.url, token: 'tok' }
  await gateway.client.request('POST', '/api/credentials', { name: 'vault_test', type: 'vault', data })
  const run = await gateway.run(`
metadata: {path: secrets_round}
keychain:
  - {name: db, kind: secrets, provider: vault, auth: vault_test, map: {password: app/db#password}}
workflow:
  - step: start
    tool: {kind: secrets, provider: env, name: "NOETL_SECRET_{{ 'ONE' }}"}
    next:
      arcs: [{step: listed}]
  - step: listed
    tool:
      - {name: first, kind: secrets, provider: env, map: {user: NOETL_SECRET_ONE}}
      - {name: last, kind: noop, result: {same: "{{ first.user == start.value }}"}}
    next:
      arcs: [{step: wrong}]
  - step: wrong
    tool: {kind: secrets, provider: env, secret: NOETL_ENCRYPTION_KEY}
    next:
      arcs: [{step: end, when: "{{ event.name == 'call.error' and output.error.kind == 'auth' }}"}]
  - step: end
    tool:
      kind: noop
      result: {value: "{{ start.value }}", same: "{{ listed.same }}", length: "{{ keychain.db.password | length }}"}
`)
  t.equal(run.error, null)
  t.match(run, { status: 'COMPLETED', result: { value: 'one', same: true, length: SECRET.length } })
  t.notMatch(JSON.stringify(run), SECRET, 'what the keychain reads is not stored')
})
