import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { testFolder } from '../../support/folder.ts'
import { testGateway } from '../../support/gateway.ts'
import { until } from '../../support/wait.ts'
import { alive } from './processes.ts'

t.test('shell: a playbook renders commands to text, hands data over and catches a failure', async (t) => {
  const folder = await testFolder(t, 'shell')
  writeFileSync(join(folder, 'in'), 'b\na\n')
  const gateway = await testGateway(t, { plugins: ['@noetl/tool-shell'] })
  const run = await gateway.run(
    `
metadata: {path: shell_round}
workload: {folder: ${folder}, count: 2, who: "it's $HOME"}
workflow:
  - step: start
    tool:
      kind: shell
      cwd: "{{ folder }}"
      input: {who: "{{ who }}"}
      cmds: ["sort in | head -n {{ count }}", 'echo "$INPUT_who"', "{{ count }}>/dev/null echo done"]
    next:
      arcs: [{step: wrong}]
  - step: wrong
    tool: {kind: shell, command: "echo no >&2; exit {{ start.commands | length }}"}
    next:
      arcs:
        - step: end
          when: "{{ event.name == 'call.error' and output.exit_code == 3 }}"
          set: {ctx.code: "{{ output.error.code }}", ctx.said: "{{ output.stderr }}"}
  - step: end
    tool: {kind: noop, result: {out: "{{ start.stdout }}", code: "{{ ctx.code }}", said: "{{ ctx.said }}"}}
`,
  )
  t.equal(run.error, null)
  t.match(run, {
    status: 'COMPLETED',
    result: { out: "a\nb\nit's $HOME\ndone\n", code: '3', said: 'no\n' },
  })
})

t.test('shell: cancelling an execution ends its command', async (t) => {
  const folder = await testFolder(t, 'shell')
  const gateway = await testGateway(t, { plugins: ['@noetl/tool-shell'] })
  const path = await gateway.register(`
metadata: {path: shell_long}
workflow:
  - step: start
    tool: {kind: shell, cwd: ${folder}, command: "echo $$ > pid; sleep 600"}
`)
  const id = await gateway.execute(path)
  const pid = await until('the command', () => Number(readFileSync(join(folder, 'pid'), 'utf8')))
  t.ok(alive(pid))
  await gateway.client.request('POST', `/api/executions/${id}/cancel`, {})
  await until('the command to be gone', () => !alive(pid))
})
