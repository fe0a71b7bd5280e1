import t from 'tap'
import type { OutputLine } from '../../core/schemas/command.ts'
import { testGateway } from '../support/gateway.ts'
import { noetlctl } from '../support/process.ts'
import { runCli } from '../support/run-cli.ts'
import { until } from '../support/wait.ts'

type Line = OutputLine & {
  event_id: string
  step: string
  attempt: number
  stream: string | null
  worker_id: string
}
interface Page {
  status: string
  lines: Line[]
  last_event_id: string
  has_next: boolean
}

const PLUGINS = ['@noetl/tool-shell', '@noetl/tool-python']
const gateway = await testGateway(t, { plugins: PLUGINS })
const logs = (id: string, query = '') =>
  gateway.client.request<Page>('GET', `/api/v2/executions/${id}/logs${query}`)
const playbook = (path: string, steps: string) => `metadata: {path: ${path}}\nworkflow:\n${steps}`

t.test('logs: what a python step prints is bounded, with its first and last lines', async (t) => {
  const run = await gateway.run(
    playbook(
      'much',
      `  - step: start
    tool:
      kind: python
      code: |
        for i in range(100000):
            print(f"line {i} " + "x" * 90)
        result = "done"
`,
    ),
  )
  t.match(run, { status: 'COMPLETED', result: 'done' })
  const { lines, status } = await logs(run.execution_id)
  t.equal(status, 'COMPLETED')
  t.match(lines[0], { text: /^line 0 x/, stream: 'stdout', step: 'start', attempt: 1 })
  t.ok(lines.length <= 1100, `${lines.length} lines`)
  t.ok(JSON.stringify(lines.map(({ text }) => text)).length < 100_000)
  t.ok(lines.some(({ text }) => /^… \d+ lines are left out$/.test(text)))
  t.match(lines.at(-1), { level: 'warn', text: /dropped/ })
})

t.test('logs: stderr of a shell is told apart, by step and in pages', async (t) => {
  const run = await gateway.run(
    playbook(
      'errors',
      `  - {step: start, tool: {kind: shell, command: 'echo fine; echo oops >&2'}, next: [{step: end}]}
  - {step: end, tool: {kind: shell, command: 'printf "a\\nb"; exit 3'}}
`,
    ),
  )
  t.equal(run.status, 'FAILED')
  const all = await logs(run.execution_id)
  t.same(all.lines.map(({ step, stream, text }) => [step, stream, text]).sort(), [
    ['end', 'stdout', 'a'],
    ['end', 'stdout', 'b'],
    ['start', 'stderr', 'oops'],
    ['start', 'stdout', 'fine'],
  ])
  t.equal((await logs(run.execution_id, '?step=end')).lines.length, 2)
  const first = await logs(run.execution_id, '?limit=1')
  t.ok(first.has_next)
  const second = await logs(run.execution_id, `?limit=1&since_event_id=${first.last_event_id}`)
  t.notOk(second.has_next)
  t.same([...first.lines, ...second.lines], all.lines)
  const cli = await runCli(['logs', run.execution_id, '--step', 'start', '--server', gateway.server.url])
  t.equal(cli.code, 0, cli.err)
  t.match(cli.out, /start\s+oops/)
  t.notMatch(cli.out, /end/)
  const missing = await runCli(['logs', '1', '--server', gateway.server.url])
  t.not(missing.code, 0)
})

t.test('logs: secrets of credentials and what looks like one are not shown', async (t) => {
  await gateway.client.request('POST', '/api/credentials', {
    name: 'shop',
    type: 'bearer',
    data: { token: 'sesame-open-4711' },
  })
  const run = await gateway.run(
    `metadata: {path: secret}
keychain: [{name: shop, kind: bearer, auth: shop}]
workflow:
  - step: start
    tool:
      kind: shell
      command: 'echo "[$T] Authorization: Bearer abc.def password=hunter2 rest"'
      env: {T: '{{ keychain.shop.token }}'}
`,
  )
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  const [line] = (await logs(run.execution_id)).lines
  t.equal(line?.text, '[***] Authorization: *** password=*** rest')
})

t.test('logs: a long command is heard while it runs, and after its worker was killed', async (t) => {
  await gateway.worker?.close()
  const worker = noetlctl(t, ['worker', 'start', '--v2'], {
    NATS_URL: gateway.nats.url,
    SERVER_API_URL: gateway.server.url,
    NOETL_PLUGINS: PLUGINS.join(','),
  })
  await gateway.register(
    playbook('long', `  - {step: start, tool: {kind: shell, command: 'echo begun; sleep 600'}}`),
  )
  const id = await gateway.execute('long')
  const heard = await until('the first line', async () => (await logs(id)).lines[0], { withinMs: 60_000 })
  t.match(heard, { text: 'begun', stream: 'stdout' })
  t.equal((await logs(id)).status, 'RUNNING')
  const following = runCli(['logs', '-f', id, '--server', gateway.server.url])
  worker.kill('SIGKILL')
  await worker.exited
  t.match((await logs(id)).lines[0], heard)
  await gateway.client.request('POST', `/api/v2/executions/${id}/cancel`, {})
  const { out, code } = await following
  t.equal(code, 0)
  t.match(out, /begun/)
})
