import t from 'tap'
import { testGateway } from '../support/gateway.ts'
import { runCli } from '../support/run-cli.ts'
import { until } from '../support/wait.ts'

const gateway = await testGateway(t, { plugins: ['@noetl/tool-python'] })
const cli = (...args: string[]) => runCli([...args, '--server', gateway.server.url])

t.test('dead-letter: list by cause and one by one, show, retry, drop; execution resolve', async (t) => {
  const path = await gateway.register(`
metadata: {path: cli/park}
executor: {spec: {on_error: park}}
workflow:
- step: start
  tool: {kind: python, input: {n: "{{ n }}"}, code: "raise ValueError(f'no {n}')"}`)
  const ids = await Promise.all([1, 2, 3].map((n) => gateway.execute(path, { n })))
  const each = () =>
    cli('dead-letter', 'list', '--each', '--json').then(
      (ran) => ran.json() as { dead_letters: { id: string; execution_id: string; fingerprint: string }[] },
    )
  const { dead_letters } = await until('three letters', async () => {
    const listed = await each()
    return listed.dead_letters.length === 3 && listed
  })
  t.match(
    (await cli('dead-letter', 'list')).out,
    /FINGERPRINT +COUNT +REASON.*\n\w{16} +3 +error .*cli\/park +start/s,
  )
  const [letter] = dead_letters
  const shown = await cli('dead-letter', 'show', letter!.id)
  t.match(shown.out, /Playbook +cli\/park, step start.*ValueError: no \d.*"code": "raise ValueError/s)
  t.match(shown.out, new RegExp(`Next: noetlctl dead-letter retry ${letter!.id}`))
  t.match(await cli('dead-letter', 'retry'), { code: 2, err: /--fingerprint, --path or --all/ })
  t.match(await cli('dead-letter', 'retry', '1'), { code: 5, err: /NOETL_ERR_LETTER_NOT_FOUND/ })
  t.match(await cli('dead-letter', 'retry', letter!.id), { code: 0, out: /1 command is back in the queue/ })
  await until('it to fail again', async () => {
    const { dead_letters: now } = await each()
    return now.length === 3 && now.every(({ id }) => id !== letter!.id)
  })
  t.match(await cli('execution', 'resolve', ids[0]!), { code: 2, err: /--done, --failed or --retry/ })
  t.match(await cli('execution', 'resolve', ids[0]!, '--done', '--result', '{"n": 1}'), {
    code: 0,
    out: /Step start of execution \d+: done/,
  })
  t.match(await gateway.ended(ids[0]!), { status: 'COMPLETED', result: { n: 1 } })
  const dropped = await cli('dead-letter', 'drop', '--fingerprint', letter!.fingerprint, '--reason', 'enough')
  t.match(dropped, { code: 0, out: /2 commands are given up/ })
  for (const id of ids.slice(1)) t.match(await gateway.ended(id), { status: 'FAILED', error: 'enough' })
  t.match((await cli('dead-letter', 'list')).out, /There are no dead letters/)
})
