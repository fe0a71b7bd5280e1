import { conformanceCases } from '@noetl/core/conformance'
import t from 'tap'
import { containerTool, scriptTool } from '../../../plugins/tool-container/tool.ts'
import { kubeApi, TOKEN } from './kube-api.ts'

const api = await kubeApi(t)
api.courses.set('ok', {
  states: [{ is: 'no-pod' }, { is: 'pending' }, { is: 'running' }, { is: 'complete' }],
  logs: 'working\n{"n": 2}\n',
})
api.courses.set('fails', { states: [{ is: 'running' }, { is: 'failed', exitCode: 3 }], logs: 'no luck\n' })
api.courses.set('slow', { states: [{ is: 'running' }], logs: '' })

const options = { pollMs: 10, maxPollMs: 20 }
const credentials = { k8s: api.credential }
const check = (result: unknown) =>
  t.match(result, {
    status: 'success',
    exit_code: 0,
    namespace: 'works',
    logs: 'working\n{"n": 2}\n',
    data: { n: 2 },
  })
// The suite gives all its calls one key, and a key stands for one Job in a namespace: each call has its own.
const container = (image: string, namespace: string) => ({ image, namespace, auth: 'k8s' })

for (const { name, run } of conformanceCases({
  makeTool: () => containerTool(options),
  works: { input: container('ok', 'works'), check },
  fails: { input: container('fails', 'fails'), kind: 'tool_error' },
  slow: { input: container('slow', 'slow') },
  refused: { input: { image: 7 } },
  credentials,
  secrets: [TOKEN],
})) {
  t.test(`container conforms: ${name}`, async () => {
    api.jobs.clear()
    await run()
  })
}

const script = (image: string, namespace: string) => ({
  job: { image, namespace },
  script: 'echo working',
  auth: 'k8s',
})

for (const { name, run } of conformanceCases({
  makeTool: () => scriptTool(options),
  works: { input: script('ok', 'works'), check },
  fails: { input: script('fails', 'fails'), kind: 'tool_error' },
  slow: { input: script('slow', 'slow') },
  refused: { input: { job: { image: 'ok' } } },
  credentials,
  secrets: [TOKEN],
})) {
  t.test(`script conforms: ${name}`, async () => {
    api.jobs.clear()
    await run()
  })
}
