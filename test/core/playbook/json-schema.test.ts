import { readdirSync, readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { isNoetlError } from '../../../core/errors.ts'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import { readDocument } from '../../../core/playbook/document.ts'
import { playbookSchema } from '../../../core/playbook/json-schema.ts'
import { orTemplate } from '../../../core/playbook/json-schema-template.ts'
import { isObject, type Json, type JsonObject } from '../../../core/schemas/json.ts'
import { describeTools } from '../../../core/tools/describe.ts'
import { discoverPlugins } from '../../../core/tools/host.ts'
import { readCorpus } from '../../support/corpus.ts'

const PLUGINS = new URL('../../../plugins/', import.meta.url)
const names = readdirSync(PLUGINS).map((name) => `@noetl/${name}`)
const { tools, failed } = await describeTools({ manifests: await discoverPlugins({ names }) })
const toolKinds = tools.map(({ kind }) => kind)
const schema = playbookSchema(tools)
const ajv = new Ajv2020({
  strict: true,
  allowUnionTypes: true,
  strictRequired: false,
  strictTypes: false,
  allErrors: false,
})
const validate = ajv.compile(schema)

function fits(text: string): string | true {
  return validate(readDocument(text).root) || ajv.errorsText(validate.errors?.slice(0, 5))
}

/** Undefined: refused. */
function compiled(text: string): { warnings: number } | undefined {
  try {
    return { warnings: compilePlaybook(text, { toolKinds, tools }).warnings.length }
  } catch (error) {
    if (isNoetlError(error)) return undefined
    throw error
  }
}

t.test('schema: it is one of draft 2020-12, with a branch for each tool of the plugins here', async (t) => {
  t.same(failed, [])
  t.ok(ajv.validateSchema(schema))
  const definitions = Object.keys(schema.$defs as JsonObject)
  for (const kind of [...toolKinds, 'python', 'playbook']) t.ok(definitions.includes(`tool-${kind}`), kind)
  t.same(JSON.parse(JSON.stringify(schema)), schema, 'it is plain JSON')
})

t.test('schema: what it refers to is there, and what is there is referred to', async (t) => {
  const text = JSON.stringify(schema)
  const referred = new Set([...text.matchAll(/"\$ref":"#\/\$defs\/([^"]+)"/g)].map(([, name]) => name))
  t.same([...referred].sort(), Object.keys(schema.$defs as JsonObject).sort())
})

const FIXTURES = new URL('../../fixtures/playbooks/', import.meta.url)
const files = readdirSync(FIXTURES, { recursive: true, encoding: 'utf8' }).filter((name) =>
  /\.ya?ml$/.test(name),
)
t.test('schema: every playbook of the fixtures fits, in either dialect', async (t) => {
  const dialects = new Set<string>()
  for (const file of files) {
    const text = readFileSync(new URL(file, FIXTURES), 'utf8')
    t.equal(fits(text), true, file)
    dialects.add(compilePlaybook(text, { toolKinds }).playbook.dialect)
  }
  t.same([...dialects].sort(), ['current', 'seed'])
})

t.test('schema: every case of the corpus that the compiler takes without a word fits', async (t) => {
  let count = 0
  for (const [area, cases] of readCorpus()) {
    for (const { name, playbook } of cases) {
      const text = /^metadata:/m.test(playbook) ? playbook : `metadata: {path: p}\n${playbook}`
      if (compiled(text)?.warnings !== 0) continue
      count += 1
      const result = fits(text)
      if (result !== true) t.fail(`${area}: ${name}: ${result}\n${playbook}`)
    }
  }
  t.ok(count > 100, `${count} cases`)
})

const one = (body: string) => `metadata: {path: p}\nworkflow:\n- step: start\n  ${body}\n`
for (const [name, text] of [
  ['no workflow', 'metadata: {path: p}'],
  ['no path', 'workflow: [{step: start}]'],
  ['a workflow that is a mapping', 'metadata: {path: p}\nworkflow: {step: start}'],
  ['an empty workflow', 'metadata: {path: p}\nworkflow: []'],
  ['another kind', `kind: Subscription\n${one('desc: a')}`],
  ['a step without a name', one('desc: a').replace('step: start', 'desc: b').replace('  desc: a\n', '')],
  ['a key of a step that is not known', one('nxt: a')],
  ['a tool that is a text', one('tool: python')],
  ['a tool without a kind', one('tool: {code: x}')],
  ['a tool of an unknown kind', one('tool: {kind: pyton, code: x}')],
  ['a field that the tool has not', one('tool: {kind: http, url: a, tiemout: 5}')],
  ['a field of a wrong type', one('tool: {kind: http, url: 5}')],
  ['a required field that is absent', one('tool: {kind: nats, bucket: a}')],
  ['a fault in a listed tool', one('tool: [{kind: http, url: a}, {kind: http, url: [a]}]')],
  ['a fault in a tool under its label', one('tool: [{fetch: {kind: http, url: [a]}}]')],
  [
    'a rule of an unknown action',
    one('tool: {kind: noop, spec: {policy: {rules: [{when: true, then: {do: retyr}}]}}}'),
  ],
  ['a jump to nowhere', one('tool: [{kind: noop, spec: {policy: {rules: [{else: {do: jump}}]}}}]')],
  [
    'attempts that are no number',
    one('tool: {kind: noop, spec: {policy: {rules: [{else: {do: retry, attempts: many}}]}}}'),
  ],
  [
    'an unknown backoff',
    one('tool: {kind: noop, spec: {policy: {rules: [{else: {then: {backoff: exp}}}]}}}'),
  ],
  ['a router of an unknown mode', one('next: {spec: {mode: exclusiv}, arcs: []}')],
  ['an arc without a target', one('next: {arcs: [{when: true}]}')],
  ['a key of an arc that is not known', one('next: {arcs: [{step: start, wen: true}]}')],
  ['a condition that is a list', one('next: {arcs: [{step: start, when: [a]}]}')],
  ['a loop over nothing', one('loop: {iterator: x}')],
  ['a loop of an unknown mode', one('loop: {in: [1], spec: {mode: paralel}}')],
  ['a width that is no number', one('loop: {in: [1], spec: {max_in_flight: wide}}')],
  ['a scope of set that there is not', one('set: {cxt.page: 1}')],
  ['a set that is a list', one('set: [a]')],
  ['an action of a case that there is not', one('case: [{when: "{{ error }}", then: {nxt: a}}]')],
  ['an unknown way with errors', `executor: {spec: {on_error: contineu}}\n${one('desc: a')}`],
  ['a workbook entry without a name', `workbook: [{tool: {kind: noop}}]\n${one('desc: a')}`],
] as const) {
  t.test(`schema: ${name} does not fit, and the compiler has a word for it`, async (t) => {
    t.not(fits(text), true)
    const there = compiled(text)
    t.ok(there === undefined || there.warnings > 0)
  })
}

for (const [name, body] of [
  [
    'templates in the place of any value',
    'tool: {kind: http, url: "{{ a }}", timeout: "{{ b }}", headers: "{{ c }}", verify_ssl: "{% if a %}1{% endif %}", params: {a: "{{ d }}"}}',
  ],
  ['fields under spec', 'tool: {kind: nats, spec: {operation: kv_get, policy: {rules: []}}}'],
  ['a workbook entry with any field', 'tool: {kind: workbook, name: a, url: b}'],
  [
    'next as a list with conditions',
    'next: [{when: "{{ a }}", then: [a, {step: b, args: {x: 1}}]}, {else: [c]}]',
  ],
  ['next as one step', 'next: {step: a}'],
  [
    'a case with all its actions',
    'case: [{when: "{{ error }}", then: [a, {next: {step: b, args: {x: 1}}}, {set: {v: 1}}, {collect: {from: result, into: l}}, {call: [c]}, {sink: {tool: postgres, table: t}}, {retry: {max_attempts: 2}}, {result: {from: "{{ result }}"}}]}, {else: {fail: {message: no}}}]',
  ],
  [
    'reactions',
    'react: {enter: [{set: {a: 1}}], call: [{when: "{{ error }}", next: []}], exit: [{call: [{step: a}], collect: [{into: l, from: 1}]}]}',
  ],
  ['empty values', 'tool: null\n  next:\n  loop:\n  set:\n  input:'],
] as const) {
  t.test(`schema: ${name} fit`, async (t) => t.equal(fits(one(body)), true))
}

t.test('schema: fields of a tool take a template beside what they want, at any depth', async (t) => {
  const inner = orTemplate({
    type: 'object',
    description: 'a',
    properties: {
      n: { type: 'integer', title: 'n' },
      free: { description: 'anything' },
      text: { type: 'string' },
      list: { type: 'array', items: { enum: ['a', 'b'] } },
      either: { oneOf: [{ type: 'boolean' }, { type: 'null' }] },
      text_or: { anyOf: [{ type: 'string' }, { type: 'null' }] },
      elsewhere: { $ref: '#/$defs/gone', description: 'left open' },
    },
    additionalProperties: false,
  })
  const check = new Ajv2020({ strict: false }).compile({ ...(inner as object), $defs: schema.$defs })
  const value: JsonObject = {
    n: 1,
    free: [1],
    text: 'a',
    list: ['a'],
    either: true,
    text_or: 'x',
    elsewhere: 1,
  }
  t.ok(check(value))
  for (const key of Object.keys(value)) t.ok(check({ ...value, [key]: '{{ x }}' }), key)
  t.ok(check('{{ x }}'))
  t.ok(check({ list: ['a', '{{ x }}'] }))
  for (const wrong of [{ n: 'x' }, { list: ['c'] }, { either: 'x' }, { other: 1 }, 'x'] as Json[])
    t.notOk(check(wrong), JSON.stringify(wrong))
  t.ok(isObject(inner) && inner.description === 'a')
})
