import t, { type Test } from 'tap'
import { type Case, readCorpus, withPath } from '../support/corpus.ts'
import { testGateway } from '../support/gateway.ts'
import { credentialOf } from '../support/postgres.ts'

/** Of the cases that need no tool to be stood in for, one in so many. Those marked `real` run all. */
const ONE_IN = 10

const gateway = await testGateway(t, { plugins: ['@noetl/tool-python', '@noetl/tool-postgres'] })
const store = (name: string, credential: object) =>
  gateway.client.request('POST', '/api/credentials', { name, ...credential })
await store('pg_local', { type: 'postgres', data: credentialOf(gateway.databaseUrl) })

const all = [...readCorpus().values()].flat()
const bare = all.filter(({ real, gives, expect }) => {
  return real === undefined && gives === undefined && expect.refused === undefined
})
const chosen = [...all.filter(({ real }) => real), ...bare.filter((_, at) => at % ONE_IN === 0)]

t.test('corpus: there is something to run', async (t) => t.ok(chosen.length > 40, `${chosen.length}`))
for (const [n, one] of chosen.entries()) t.test(one.name, (t) => check(t, one, n))

async function check(t: Test, { playbook, payload, children, credentials, expect, rule }: Case, n: number) {
  for (const [name, credential] of Object.entries(credentials ?? {})) await store(name, credential)
  for (const [path, child] of Object.entries(children ?? {})) await gateway.register(withPath(child, path))
  const run = await gateway.run(withPath(playbook, `corpus/${n}`), payload)
  t.equal(run.status, expect.status, `status, ${rule}`)
  if (expect.error !== undefined) t.ok(run.error?.includes(expect.error), `error, ${rule}: ${run.error}`)
  else if (expect.status === 'COMPLETED') t.equal(run.error, null, `no error, ${rule}`)
  if ('result' in expect) t.same(run.result, expect.result, `result, ${rule}`)
  if ('ctx' in expect) t.same(run.variables, expect.ctx, `ctx, ${rule}`)
}
