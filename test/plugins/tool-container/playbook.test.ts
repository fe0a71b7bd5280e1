import type { JsonObject } from '@noetl/core'
import t from 'tap'
import { testGateway } from '../../support/gateway.ts'
import { kubeApi } from './kube-api.ts'

t.test('container and script: a playbook runs both as Jobs, and rules see how one failed', async (t) => {
  const api = await kubeApi(t)
  api.courses.set('loader:1', {
    states: [{ is: 'running' }, { is: 'complete' }],
    logs: 'loading\n{"rows": 3}\n',
  })
  api.courses.set('broken:1', { states: [{ is: 'failed', exitCode: 4 }], logs: 'no luck\n' })
  const env = { NOETL_TOOL_OPTIONS: JSON.stringify({ container: { pollMs: 10 } }) }
  const gateway = await testGateway(t, { plugins: ['@noetl/tool-container'], env })
  await gateway.client.request('POST', '/api/credentials', { name: 'k8s', ...api.credential })
  const run = await gateway.run(`
metadata: {path: jobs}
workload: {day: 7}
workflow:
  - step: start
    tool:
      kind: container
      auth: k8s
      image: loader:1
      command: 'load --day "$INPUT_day" {{ day }}'
      input: {day: "{{ day }}"}
    next: {arcs: [{step: check}]}
  - step: check
    tool:
      kind: script
      auth: k8s
      job: {image: "broken:1", namespace: checks}
      args: {rows: "{{ start.data.rows }}"}
      script: |
        echo {{ start.data.rows + 1 }}
      spec:
        policy:
          rules:
            - when: "{{ output.error.code == 'EXIT_4' }}"
              then: {do: continue, set: {ctx.seen: "{{ output.error.message }}"}}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: noop, result: {rows: "{{ start.data.rows }}", seen: "{{ ctx.seen }}"}}
`)
  t.equal(run.error, null)
  t.match(run, { status: 'COMPLETED', result: { rows: 3, seen: /exit code 4\. Its last lines: no luck/ } })
  const containers = [...api.jobs.values()].map(({ manifest }) => {
    const pod = ((manifest.spec as JsonObject).template as JsonObject).spec as JsonObject
    return (pod.containers as JsonObject[])[0]
  })
  t.match(containers, [
    { command: ['sh', '-c', 'load --day "$$INPUT_day" 7'], env: [{ name: 'INPUT_day', value: '7' }] },
    { command: ['sh', '-c', 'echo 4\n', 'script'], env: [{ name: 'INPUT_rows', value: '3' }] },
  ])
})
