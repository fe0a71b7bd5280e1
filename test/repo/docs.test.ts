import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ERRORS } from '../../core/errors.ts'
import { compilePlaybook } from '../../core/playbook/compile.ts'
import { testGateway } from '../support/gateway.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

t.test('errors: the docs list every code with its status, and no other', async (t) => {
  const listed = new Map(
    [...read('docs/errors.md').matchAll(/^\| `(NOETL_ERR_\w+)` \| (\d+) \| .+ \|.*\|$/gm)].map(
      ([, code, status]) => [code, Number(status)],
    ),
  )
  t.same([...listed.keys()].sort(), Object.keys(ERRORS).sort())
  for (const [code, [, status]] of Object.entries(ERRORS)) t.equal(listed.get(code), status, code)
})

t.test('configuration: the docs list every variable that is read, and no other', async (t) => {
  const listed = [
    ...read('docs/configuration.md').matchAll(/`((?:NOETL_|DATABASE_|NATS_|SERVER_)\w+)`/g),
  ].map(([, name]) => name!)
  const readThere = [
    ...read('core/config.ts').matchAll(/'((?:NOETL_(?!ERR_)|DATABASE_URL|NATS_URL|SERVER_API_URL)\w*)'/g),
  ].map(([, name]) => name!)
  const elsewhere = ['NOETL_NATS_SERVER']
  t.same([...new Set(listed)].sort(), [...new Set([...readThere, ...elsewhere])].sort())
})

t.test(
  'packages: each has a changelog whose newest version is its own, and the README names it',
  async (t) => {
    const packages = ['core', 'cli', ...readdirSync(join(ROOT, 'plugins')).map((name) => `plugins/${name}`)]
    for (const folder of packages) {
      const { name, version, peerDependencies = {} } = JSON.parse(read(`${folder}/package.json`))
      const headings = [...read(`${folder}/CHANGELOG.md`).matchAll(/^## (.+)$/gm)].map(
        ([, heading]) => heading,
      )
      t.equal(headings[0], 'Unreleased', `${name}: Unreleased is on top`)
      t.match(
        headings[1],
        new RegExp(`^${version.replaceAll('.', '\\.')} - \\d{4}-\\d\\d-\\d\\d$`),
        `${name}: then its version`,
      )
      t.match(
        read('README.md'),
        new RegExp(`\`${name}\`\\]\\(${folder}\\) \\| ${version} \\|`),
        `${name} ${version} is in the README`,
      )
      t.ok(read(`${folder}/README.md`).startsWith(`# ${name}`))
      const core = JSON.parse(read('core/package.json')).version
      if (folder.startsWith('plugins/'))
        t.equal(peerDependencies['@noetl/core'], `^${core}`, `${name} fits this core`)
    }
  },
)

t.test('docs: links between files lead somewhere', async (t) => {
  const files = [
    'README.md',
    'CONTRIBUTING.md',
    ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.md'))
      .map((file) => `docs/${file}`),
  ]
  for (const file of files) {
    for (const [, link = ''] of read(file).matchAll(/\]\((?!https?:)([^)#]+)/g)) {
      t.ok(existsSync(join(ROOT, file, '..', link)), `${file}: ${link}`)
    }
  }
})

t.test('README: its playbook does what it says', async (t) => {
  const gateway = await testGateway(t, { plugins: ['@noetl/tool-python'] })
  const [, yaml = ''] = /Write `hello\.yaml`:\n\n```yaml\n([\s\S]*?)```/.exec(read('README.md')) ?? []
  t.same(compilePlaybook(yaml, { toolKinds: ['python'] }).warnings, [])
  const run = await gateway.run(yaml, { name: 'you' })
  t.match(run, { status: 'COMPLETED', result: 'hello you' })
})

t.test('plugins: the example of their docs loads, conforms and runs in a worker', async (t) => {
  const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs')
  const text = read('docs/writing-a-plugin.md')
  const [manifest, code] = [
    /```json\n([\s\S]*?)```/.exec(text)?.[1] ?? '',
    /```js\n(import \{ CONTRACT[\s\S]*?)```/.exec(text)?.[1] ?? '',
  ]
  const dir = mkdtempSync(join(ROOT, '.noetl', 'test-plugin-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  writeFileSync(join(dir, 'package.json'), manifest)
  writeFileSync(join(dir, 'index.js'), code)
  const { conformanceCases } = await import('../../core/tools/conformance.ts')
  const { echoTool } = await import(join(dir, 'index.js'))
  for (const { name, run } of conformanceCases({
    makeTool: echoTool,
    works: { input: { text: 'hi' }, check: (result) => t.same(result, { text: 'hi' }) },
    fails: { input: { text: 'no' }, kind: 'client_error' },
    refused: { input: { text: 7 } },
  })) {
    await t.test(`echo conforms: ${name}`, run)
  }
  const gateway = await testGateway(t, { plugins: [dir] })
  const run = await gateway.run(
    'metadata: {path: echo}\nworkflow: [{step: start, tool: {kind: echo, text: "{{ 1 + 1 }} times"}}]',
  )
  t.match(run, { status: 'COMPLETED', result: { text: '2 times' } })
})
