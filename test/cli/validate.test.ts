import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { showFinding } from '../../cli/output/findings.ts'
import { runCli } from '../support/run-cli.ts'

const dir = await mkdtemp(join(tmpdir(), 'noetl-test-validate-'))
t.teardown(() => rm(dir, { recursive: true, force: true }))
const env = { NOETL_PLUGINS: '@noetl/tool-http,@noetl/tool-python' }
const ctl = (args: string[], input?: string) =>
  runCli(args, { env, cwd: dir, ...(input === undefined ? {} : { input }) })

const GOOD = 'metadata: {path: good}\nworkflow:\n- {step: start, tool: {kind: noop}}\n'
const ODD =
  'metadata: {path: odd}\nworkflow:\n- {step: start, tool: {kind: noop, result: "{{ nmae }}"}, nxt: a}\n'
const BAD = `metadata: {path: bad}
workflow:
- step: start
  tool:
    kind: http
    urll: http://x
    timeout: [5]
  next: {arcs: [{step: edn, when: "{{ start.x | tojsn }}"}]}
- {step: end}
`
await writeFile(join(dir, 'good.yaml'), GOOD)
await writeFile(join(dir, 'odd.yaml'), ODD)
await writeFile(join(dir, 'bad.yaml'), BAD)
await writeFile(join(dir, 'broken.yaml'), 'metadata: {path: x}\nworkflow: [\n- a: }\n')
await mkdir(join(dir, 'inner'))
await writeFile(join(dir, 'inner', 'good.yml'), GOOD)

t.test(
  'validate: one line for each finding, in the order of the file, and which plugins it was checked with',
  async (t) => {
    const result = await ctl(['playbook', 'validate', 'bad.yaml'])
    t.equal(result.code, 3)
    t.equal(result.err, '')
    t.same(result.out.trimEnd().split('\n'), [
      'bad.yaml:6:5: warning: step "start": the tool http has no field "urll"; it is ignored. Did you mean "url"? [workflow[0].tool.urll]',
      'bad.yaml:7:5: error: step "start": field "timeout" of the tool http is a list; a number above 0 was expected [workflow[0].tool.timeout]',
      'bad.yaml:8:18: error: step "start" leads to "edn", which is no step. Did you mean "end"? [workflow[0].next.arcs[0].step]',
      'bad.yaml:8:49: warning: step "start": there is no filter "tojsn". Did you mean "tojson"? [workflow[0].next.arcs[0].when]',
      '1 file: 2 faults, 2 warnings; tools of @noetl/tool-http 0.1.0, @noetl/tool-python 0.1.0',
    ])
  },
)

t.test(
  'validate: warnings alone are exit code 0, with --strict they are faults and exit code 3',
  async (t) => {
    const lenient = await ctl(['playbook', 'validate', 'odd.yaml', 'good.yaml'])
    t.equal(lenient.code, 0)
    t.match(
      lenient.out,
      /^odd\.yaml:3:\d+: warning: .*nmae.*\nodd\.yaml:3:\d+: warning: "nxt" is not known.*\nodd\.yaml: valid \(odd\)\ngood\.yaml: valid \(good\)\n2 files: 0 faults, 2 warnings;/,
    )
    const strict = await ctl(['playbook', 'validate', 'odd.yaml', 'good.yaml', '--strict'])
    t.equal(strict.code, 3)
    t.match(
      strict.out,
      /^odd\.yaml:3:\d+: error: .*\nodd\.yaml:3:\d+: error: .*\ngood\.yaml: valid \(good\)\n2 files: 2 faults, 0 warnings;/,
    )
  },
)

t.test('validate: what cannot be read as YAML is a finding like any other', async (t) => {
  const result = await ctl(['playbook', 'validate', 'broken.yaml', 'good.yaml'])
  t.equal(result.code, 3)
  t.match(result.out, /^broken\.yaml:\d+:\d+: error: /)
  t.match(result.out, /^good\.yaml: valid/m)
})

t.test('validate: folders, folders within, standard input, and none that there is', async (t) => {
  t.match((await ctl(['playbook', 'validate', 'inner'])).out, /^inner\/good\.yml: valid/)
  t.match((await ctl(['playbook', 'validate', '.', '--recursive'])).out, /^inner\/good\.yml: valid/m)
  t.match((await ctl(['playbook', 'validate', '-'], GOOD)).out, /^standard input: valid \(good\)/)
  const none = await ctl(['playbook', 'validate', 'nothing.yaml'])
  t.match(none, { code: 3, out: '', err: /nothing\.yaml cannot be read/ })
})

t.test('validate: --json has a form of its own that does not change with the text', async (t) => {
  const result = await ctl(['playbook', 'validate', 'bad.yaml', 'good.yaml', '--json'])
  t.equal(result.code, 3)
  const at = (line: number, column: number, path: string, suggestion?: string) => ({
    message: String,
    line,
    column,
    path,
    ...(suggestion === undefined ? {} : { suggestion }),
  })
  t.match(result.json(), {
    results: [
      {
        file: 'bad.yaml',
        valid: false,
        path: null,
        faults: [at(7, 5, 'workflow[0].tool.timeout'), at(8, 18, 'workflow[0].next.arcs[0].step', 'end')],
        warnings: [
          at(6, 5, 'workflow[0].tool.urll', 'url'),
          at(8, 49, 'workflow[0].next.arcs[0].when', 'tojson'),
        ],
      },
      { file: 'good.yaml', valid: true, path: 'good', faults: [], warnings: [] },
    ],
    plugins: [
      { name: '@noetl/tool-http', version: '0.1.0' },
      { name: '@noetl/tool-python', version: '0.1.0' },
    ],
  })
})

t.test('validate: a plugin that does not load is told, and its kinds may be used all the same', async (t) => {
  const plugin = join(dir, 'plugin')
  await mkdir(plugin)
  const manifest = {
    name: 'noetl-tool-gone',
    version: '1.0.0',
    type: 'module',
    exports: { '.': './index.js', './package.json': './package.json' },
    noetl: { contract: 1, kinds: ['gone'], roles: ['worker'] },
  }
  await writeFile(join(plugin, 'package.json'), JSON.stringify(manifest))
  await writeFile(join(plugin, 'index.js'), 'throw new Error("no such library")')
  const text = GOOD.replace('kind: noop', 'kind: gone, any: 1')
  const result = await runCli(['playbook', 'validate', '-'], {
    env: { NOETL_PLUGINS: `${plugin},@noetl/tool-http` },
    cwd: dir,
    input: text,
  })
  t.equal(result.code, 0)
  t.match(result.err, /^The fields of gone are not checked: noetl-tool-gone does not load: .*no such library/)
  t.match(
    result.out,
    /valid \(good\)\n1 file: 0 faults, 0 warnings; tools of noetl-tool-gone 1\.0\.0, @noetl\/tool-http 0\.1\.0/,
  )
})

t.test('findings: on a terminal the line is shown, with a caret under the place', async (t) => {
  const fault = { message: 'm', line: 2, column: 5, path: 'a' }
  const show = (source: string, more: object = {}) =>
    showFinding('f', 'error', { ...fault, ...more }, { source, width: 60 })
  t.same(
    show('one\nabcdef')
      .split('\n')
      .map((line) => stripVTControlCharacters(line)),
    ['f:2:5: error: m [a]', '    2 | abcdef', '      |     ^'],
  )
  t.same(
    show('one\n\tab\u001b[31mcdef', { column: 3 })
      .split('\n')
      .map((line) => stripVTControlCharacters(line)),
    ['f:2:3: error: m [a]', '    2 |  ab [31mcdef', '      |   ^'],
  )
  const long = show(`one\n${'x'.repeat(200)}Y${'z'.repeat(200)}`, { column: 201 })
    .split('\n')
    .map((line) => stripVTControlCharacters(line))
  t.ok(long.every((line) => line.length <= 60))
  t.equal(long[1]?.[long[2]?.indexOf('^') ?? 0], 'Y')
  t.equal(
    stripVTControlCharacters(show('one', { line: 9 })),
    'f:9:5: error: m [a]',
    'a line that is not there is not shown',
  )
  t.match(stripVTControlCharacters(show('one\nab', { message: 'a\u001b]0;b' })), 'a\\u001b]0;b')
})

t.test('validate: a terminal gets colours and the line, unless NO_COLOR says no', async (t) => {
  const coloured = await inTerminal(['playbook', 'validate', 'bad.yaml'], {})
  t.ok(coloured.includes('bad.yaml:7:5: \u001b[31merror:\u001b[39m step "start"'))
  t.match(stripVTControlCharacters(coloured), / 7 \| {5}timeout: \[5\]\r?\n {6}\| {5}\^/)
  const plainly = await inTerminal(['playbook', 'validate', 'bad.yaml'], { NO_COLOR: '1' })
  t.notMatch(plainly, '\u001b[31m')
  t.match(plainly, / 7 \| {5}timeout: \[5\]\r?\n {6}\| {5}\^/)
})

t.test('schema: it is printed, with the tools of the plugins here, and holds playbooks apart', async (t) => {
  const result = await ctl(['playbook', 'schema'])
  t.match(result, { code: 0, err: '' })
  const schema = result.json()
  t.same((await ctl(['playbook', 'schema', '--json'])).json(), schema)
  const validate = new Ajv2020({ strict: false }).compile(schema)
  const step = (tool: object) => ({ metadata: { path: 'p' }, workflow: [{ step: 'start', tool }] })
  t.ok(validate(step({ kind: 'http', url: 'a' })))
  t.notOk(validate(step({ kind: 'http', urll: 'a' })))
  t.notOk(validate(step({ kind: 'duckdb', query: 'a' })), 'a plugin that is not here')
})

/** Runs `noetlctl` in a terminal of python's making; gives what it showed. */
function inTerminal(args: string[], more: NodeJS.ProcessEnv): Promise<string> {
  const cli = fileURLToPath(new URL('../../cli/bin/dev.js', import.meta.url))
  const command = [
    process.execPath,
    '--conditions=@noetl/source',
    `--import=${import.meta.resolve('tsx')}`,
    cli,
    ...args,
  ]
  const { PATH, HOME } = process.env
  return new Promise((resolve, reject) => {
    const child = spawn('python3', ['-c', 'import pty, sys; pty.spawn(sys.argv[1:])', ...command], {
      cwd: dir,
      env: { PATH, HOME, TERM: 'xterm-256color', ...env, ...more },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let out = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    child.on('error', reject)
    child.on('close', () => resolve(out))
  })
}
