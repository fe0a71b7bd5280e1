import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { JsonObject } from '@noetl/core'
import t from 'tap'
import { scriptTool } from '../../../plugins/tool-container/tool.ts'
import { testFolder } from '../../support/folder.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { kubeApi } from './kube-api.ts'

const run = promisify(execFile)
const api = await kubeApi(t)
const tool = scriptTool({ pollMs: 5 })
t.teardown(() => tool.close?.())
let calls = 0

const call = (fields: JsonObject) =>
  tool.run(
    { auth: 'k8s', script: '', ...fields },
    toolCall({ stored: { k8s: api.credential }, idempotencyKey: `s-${++calls}` }),
  )
const container = () => {
  const { manifest } = [...api.jobs.values()].at(-1)!
  const pod = ((manifest.spec as JsonObject).template as JsonObject).spec as JsonObject
  return (pod.containers as JsonObject[])[0]!
}
/** The command of a script's Job. */
async function commandOf(fields: JsonObject): Promise<string[]> {
  await call(fields)
  return container().command as string[]
}

/** What Kubernetes makes of a command: `$(NAME)` of known variables, `$$` as `$`. */
function expanded(command: string[], variables: Record<string, string> = {}): string[] {
  return command.map((word) =>
    word.replace(/\$\$|\$\(([^()]*)\)/g, (seen, name: string | undefined) =>
      name === undefined ? '$' : (variables[name] ?? seen),
    ),
  )
}

t.test('script: the Job has the fields of "job", and the text in its command', async (t) => {
  const result = await call({
    job: { image: 'alpine:3', namespace: 'tools', env: { A: '1' }, backoffLimit: 1 },
    script: 'echo hi',
    timeout: 60,
    input: { day: 7 },
  })
  t.match(result, { status: 'success', namespace: 'tools' })
  t.same(container(), {
    name: 'main',
    image: 'alpine:3',
    command: ['sh', '-c', 'echo hi', 'script'],
    env: [
      { name: 'INPUT_day', value: '7' },
      { name: 'A', value: '1' },
    ],
  })
  t.match([...api.jobs.values()].at(-1)?.manifest, {
    metadata: { labels: { 'noetl.io/kind': 'script' } },
    spec: { activeDeadlineSeconds: 60, backoffLimit: 1 },
  })
})

t.test('script: the fields of the Job may stand beside "job" too', async (t) => {
  t.same(await commandOf({ image: 'busybox', script: 'true' }), ['sh', '-c', 'true', 'script'])
})

t.test('script: what Kubernetes would replace reaches the interpreter as it was written', async (t) => {
  const text = 'A=$(printf %s "$1"); echo "$A $$ $(HOME) $$(x)" | sed "s/[0-9][0-9]*/pid/"'
  const command = await commandOf({ job: { image: 'alpine', args: ['one'] }, script: text })
  t.same(expanded(command, { HOME: '/replaced' }), ['sh', '-c', text, 'script', 'one'])
})

t.test('script: a shell and a Python run it with its arguments', async (t) => {
  const shell = await commandOf({
    job: { image: 'alpine', args: ['a b', '$c'] },
    script: 'for word in "$@"; do echo "<$word>"; done',
  })
  const args = expanded(shell)
  t.equal((await run(args[0]!, args.slice(1))).stdout, '<a b>\n<$c>\n')
  const python = await commandOf({
    job: { image: 'python:3.12', command: ['python3', '-c'], args: ['x', 1] },
    script:
      'import sys, json\nprice = "$5 $$ $(x)"\nprint(json.dumps({"args": sys.argv[1:], "price": price}))',
  })
  const [program, ...rest] = expanded(python)
  t.same(JSON.parse((await run(program!, rest)).stdout), { args: ['x', '1'], price: '$5 $$ $(x)' })
})

const INTERPRETERS: [name: string, fields: JsonObject, start: string[]][] = [
  ['a command as a list', { job: { image: 'a', command: ['python3', '-u', '-c'] } }, ['python3', '-u', '-c']],
  ['a command as a text', { job: { image: 'a', command: 'bash -eu' } }, ['bash', '-eu', '-c']],
  ['a command with its flag', { job: { image: 'a', command: 'node -e' } }, ['node', '-e']],
  ['a first line with env', { script: '#!/usr/bin/env python3\nprint(1)' }, ['python3', '-c']],
  [
    'a first line with options',
    { script: '#!/usr/bin/env -S node --no-warnings\n1' },
    ['node', '--no-warnings', '-e'],
  ],
  ['a first line with a path', { script: '#!/bin/bash -e\ntrue' }, ['/bin/bash', '-e', '-c']],
  ['an image of Python', { job: { image: 'registry.example:5000/lib/python:3.12-slim' } }, ['python', '-c']],
  ['an image of Node', { job: { image: 'node@sha256:abc' } }, ['node', '-e']],
  ['any other image', { job: { image: 'debian:12' } }, ['sh', '-c']],
]
for (const [name, fields, start] of INTERPRETERS) {
  t.test(`interpreter: by ${name}`, async (t) => {
    const command = await commandOf({ job: { image: 'alpine' }, script: 'true', ...fields })
    t.same(command.slice(0, start.length), start)
    t.equal(command[start.length], String(fields.script ?? 'true'))
  })
}

t.test('script: one from a file, whose ending tells the interpreter', async (t) => {
  const file = join(await testFolder(t, 'script'), 'load.py')
  await writeFile(file, 'print("from a file")\n')
  const command = await commandOf({ job: { image: 'custom' }, script: { uri: file } })
  t.same(command, ['python', '-c', 'print("from a file")\n'])
  const inline = await commandOf({
    job: { image: 'custom' },
    script: { uri: 'load.sh', source: { type: 'inline', code: 'true' } },
  })
  t.same(inline, ['sh', '-c', 'true', 'script'])
  t.match(await toolFailure(call({ job: { image: 'a' }, script: { uri: `${file}.gone` } })), {
    kind: 'not_found',
  })
})

const REFUSED: [name: string, fields: JsonObject, message: RegExp][] = [
  ['no image', { job: {}, script: 'true' }, /script tool needs "job.image"/],
  ['an empty script', { job: { image: 'a' }, script: ' \n' }, /script is empty/],
  [
    'more than a command can carry',
    { job: { image: 'a' }, script: '#'.repeat(120 * 1024 + 1) },
    /122881 bytes, more than the 122880/,
  ],
  ['a character that no command can hold', { job: { image: 'a' }, script: 'a\0b' }, /U\+0000/],
  [
    'an interpreter of unknown ways',
    { job: { image: 'a', command: 'lua' }, script: '1' },
    /How "lua" runs a text is not known.*\["lua", "-c"\]/,
  ],
]
for (const [name, fields, message] of REFUSED) {
  t.test(`script: ${name} is refused`, async (t) => {
    t.match(await toolFailure(call(fields)), { kind: 'schema', message })
  })
}
