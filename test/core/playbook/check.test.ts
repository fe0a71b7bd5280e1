import t from 'tap'
import type { NoetlError } from '../../../core/errors.ts'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import type { Fault } from '../../../core/playbook/faults.ts'
import type { ToolDescription } from '../../../core/schemas/tool-description.ts'
import { BUILT_IN_TOOLS } from '../../../core/tools/describe-built-in.ts'

const SECONDS = {
  anyOf: [{ type: 'number', exclusiveMinimum: 0 }, { type: 'string', pattern: '^[0-9]+$' }, { type: 'null' }],
}
const echo: ToolDescription = {
  kind: 'echo',
  input: {
    type: 'object',
    required: ['text'],
    properties: {
      text: { type: 'string', description: 'What is said' },
      timeout: SECONDS,
      loud: { anyOf: [{ type: 'boolean' }, { type: 'null' }] },
      how: { anyOf: [{ const: 'slowly' }, { const: 'quickly' }] },
      lines: { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] },
      to: {
        type: 'object',
        required: ['name'],
        properties: { name: { type: 'string' }, times: { type: 'integer', minimum: 1 } },
      },
      auth: { anyOf: [{ type: 'string' }, { type: 'object', patternProperties: { '^.*$': {} } }] },
    },
    additionalProperties: true,
  },
  output: {},
  effect: 'pure',
  textFields: [],
  plugin: 'noetl-tool-echo',
  version: '1.0.0',
}
const strict: ToolDescription = {
  ...echo,
  kind: 'strict',
  input: { type: 'object', properties: { a: {} }, additionalProperties: false },
}
const postgres: ToolDescription = {
  ...echo,
  kind: 'postgres',
  input: {
    type: 'object',
    properties: { command: { type: 'string' }, timeout: SECONDS },
    additionalProperties: true,
  },
}
const tools = [...BUILT_IN_TOOLS, echo, strict, postgres]
const toolKinds = [...tools.map(({ kind }) => kind), 'stranger']

interface Found {
  faults: Fault[]
  warnings: Fault[]
}

function check(text: string): Found {
  try {
    return { faults: [], warnings: compilePlaybook(text, { toolKinds, tools }).warnings }
  } catch (error) {
    return (error as NoetlError).details as unknown as Found
  }
}

/** Steps under `workflow`, without the indent that the text here has. */
const steps = (workflow: string, more = '') => `metadata: {path: p}\n${more}workflow:\n${workflow}`
const tool = (fields: string) => steps(`- step: start\n  tool: {kind: echo, ${fields}}\n`)
const messages = (list: readonly Fault[]) =>
  list.map(({ message, suggestion }) => (suggestion === undefined ? message : `${message} -> ${suggestion}`))

function finds(
  name: string,
  text: string,
  expected: { faults?: (string | RegExp)[]; warnings?: (string | RegExp)[] },
) {
  t.test(name, async (t) => {
    const { faults, warnings } = check(text)
    t.match(messages(faults), expected.faults ?? [])
    t.equal(faults.length, expected.faults?.length ?? 0, messages(faults).join('\n'))
    t.match(messages(warnings), expected.warnings ?? [])
    t.equal(warnings.length, expected.warnings?.length ?? 0, messages(warnings).join('\n'))
  })
}

// Fields of tools.

finds(
  'fields: those of the schema are taken, with templates for any of them',
  tool(
    'text: "{{ execution_id }}", timeout: "{{ 5 }}", loud: "{{ true }}", how: "{{ now() }}", lines: ["{{ 1 }}"], to: {name: a, times: "{{ 2 }}"}',
  ),
  {},
)
finds('fields: one that the schema has not is told with the nearest', tool('text: a, tiemout: 5'), {
  warnings: ['step "start": the tool echo has no field "tiemout"; it is ignored -> timeout'],
})
finds(
  'fields: arguments and what is said of the task are free',
  tool(
    'text: a, name: x, desc: d, input: {anything: 1}, set: {ctx.a: 1}, retry: {max_attempts: 2}, credential: c',
  ),
  {},
)
finds(
  'fields: under spec they are the same',
  steps('- step: start\n  tool: {kind: echo, spec: {text: a, timeout: soon, policy: {rules: []}}}\n'),
  {
    faults: [
      'step "start": field "timeout" of the tool echo is text; a number above 0 or text like ^[0-9]+$ was expected',
    ],
  },
)
finds('fields: a required one that is absent is a fault', tool('loud: true'), {
  faults: ['step "start": the tool echo needs "text": text (What is said)'],
})
for (const [fields, message] of [
  ['text: 5', 'field "text" of the tool echo is 5; text was expected'],
  ['text: null', 'field "text" of the tool echo is nothing; text was expected'],
  ['text: a, timeout: 0', 'field "timeout" of the tool echo is 0; a number above 0 was expected'],
  ['text: a, timeout: [5]', 'field "timeout" of the tool echo is a list; a number'],
  ['text: a, loud: 1', 'field "loud" of the tool echo is 1; true or false was expected'],
  ['text: a, lines: [a, 5]', 'field "lines.1" of the tool echo is 5; text was expected'],
  ['text: a, lines: {a: 1}', 'field "lines" of the tool echo is a mapping; text or a list was expected'],
  [
    'text: a, to: {name: a, times: 0}',
    'field "to.times" of the tool echo is 0; a whole number from 1 was expected',
  ],
  ['text: a, to: {times: 1}', 'field "to" of the tool echo is no "name"; name: text was expected'],
  ['text: a, to: {name: a, times: 1.5}', 'field "to.times" of the tool echo is 1.5; a whole number'],
  [
    'text: a, credential: 7',
    'field "auth" of the tool echo is 7; text or a mapping (key: value) was expected',
  ],
  [
    'text: a, how: quikly',
    'field "how" of the tool echo is text; "slowly" or "quickly" was expected -> quickly',
  ],
] as const) {
  finds(`fields: {${fields}} has a literal of a wrong type`, tool(fields), {
    faults: [new RegExp(message.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))],
  })
}
finds(
  'fields: a tool that takes no others says so as a fault',
  steps('- {step: start, tool: {kind: strict, b: 1}}\n'),
  {
    faults: [/the tool strict has no field "b"$/],
  },
)
finds(
  'fields: of a kind that only workers elsewhere have nothing is known',
  steps('- {step: start, tool: {kind: stranger, b: 1}}\n'),
  {},
)
finds(
  'fields: those of built-in tools are known as well',
  steps('- {step: start, tool: {kind: playbook, pth: a}}\n'),
  {
    faults: [/the tool playbook needs "path": text that is not empty \(Path/],
    warnings: [/no field "pth"; it is ignored -> path/],
  },
)
finds(
  'fields: in a list each tool is looked at, under its label too',
  steps('- step: start\n  tool: [{kind: echo, text: 1}, {say: {kind: echo, text: 2}}]\n'),
  {
    faults: [/field "text" of the tool echo is 1/, /field "text" of the tool echo is 2/],
  },
)
finds('fields: of a probe as well', tool('text: a, probe: {kind: echo, text: 5}'), {
  faults: [/field "text" of the tool echo is 5/],
})
finds(
  'fields: an entry of the workbook may leave out what the step says, and hold a place open',
  steps(
    '- {step: start, tool: {kind: workbook, name: hi, input: {a: 1}}}\n',
    'workbook: [{name: hi, tool: {kind: echo, text: null, lod: 1, timeout: []}}]\n',
  ),
  {
    faults: [/^workbook: field "timeout"/],
    warnings: [/^workbook: the tool echo has no field "lod"; it is ignored -> loud/],
  },
)
t.test('fields: no text of a field is repeated in a message', async (t) => {
  const { faults } = check(
    tool('text: a, loud: s3cret, timeout: s3cret, how: s3cret, to: s3cret, auth: [s3cret]'),
  )
  t.equal(faults.length, 5)
  t.notMatch(JSON.stringify(faults), 's3cret')
})

// Arcs.

const arcs = (list: string, more = '') =>
  steps(`- step: start\n  next: {${more} arcs: [${list}]}\n- {step: a}\n- {step: b}\n`)
finds(
  'arcs: a condition that is always false',
  arcs('{step: a, when: "{{ 1 == 2 }}"}, {step: b, when: false}'),
  {
    warnings: ['step "start": this arc is never taken: its condition is always false', /always false/],
  },
)
finds(
  'arcs: what comes behind a condition that is always true',
  arcs('{step: a, when: "{{ true }}"}, {step: b}'),
  {
    warnings: [
      'step "start": this arc is never taken: the condition of the one to "a" before it is always true',
    ],
  },
)
finds(
  'arcs: what comes behind one without a condition',
  arcs('{step: a}, {step: b, when: "{{ ctx.x | default(1) }}"}'),
  {
    warnings: [
      'step "start": this arc is never taken: the one to "a" before it has no condition; such a one comes last',
    ],
  },
)
finds(
  'arcs: one behind the default that catches an error is taken',
  arcs(`{step: a}, {step: b, when: "{{ event.name == 'call.error' }}"}`),
  {},
)
finds(
  'arcs: with the same condition as one before',
  arcs('{step: a, when: "{{ error }}"}, {step: b, when: "{{ error }} "}'),
  {
    warnings: ['step "start": this arc is never taken: the one to "a" before it has the same condition'],
  },
)
finds('arcs: twice the same', arcs('{step: a, when: "{{ error }}"}, {step: b}, {step: b}'), {
  warnings: ['step "start": this arc to "b" is there twice'],
})
finds(
  'arcs: inclusive ones do not stand in each other’s way',
  arcs('{step: a}, {step: b}, {step: b}', 'spec: {mode: inclusive},'),
  {
    warnings: ['step "start": this arc to "b" is there twice'],
  },
)
finds(
  'arcs: targets of one `then` are taken together',
  steps(
    '- step: start\n  next: [{when: "{{ result }}", then: [a, b]}, {else: [c]}]\n- {step: a}\n- {step: b}\n- {step: c}\n',
  ),
  {},
)
finds(
  'arcs: a step that leads nowhere and is not the last one is fine',
  arcs('{step: a}').replace('[{step: a}]', '[{step: a, when: "{{ result }}"}, {step: b}]'),
  {},
)

// Names in templates.

const says = (template: string, more = '') =>
  steps(`- {step: start, tool: {kind: noop, result: ${JSON.stringify(template)}}}\n`, more)
for (const template of [
  '{{ n }} {{ workload.n }} {{ execution_id }} {{ job.uuid }} {{ start }} {{ result }} {{ output.status }}',
  '{{ never is defined }}{{ never }} {{ other | default(1) }} {{ ctx.x | d(2) }} {{ ctx.y is defined and ctx.y.z }}',
  '{% for row in n %}{{ row }}{{ loop.index }}{% endfor %}{% set s = 1 %}{{ s }}',
  '{{ now() }} {{ range(3) }} {{ event.name }} {{ error }} {{ _prev }} {{ args.a }} {{ iter.index }}',
]) {
  finds(`names: ${template} are all there`, says(template, 'workload: {n: [1]}\n'), {})
}
finds(
  'names: one that nothing sets must come with the payload',
  says('{{ msg }} {{ workload.mesage }}', 'workload: {message: 1}\n'),
  {
    warnings: [
      'step "start": "msg" is set nowhere in this playbook; it must come with the payload',
      'step "start": "workload.mesage" is set nowhere in this playbook; it must come with the payload -> workload.message',
    ],
  },
)
finds(
  'names: of ctx, keychain, steps and iter nothing comes with the payload',
  says(
    '{{ ctx.pgae }} {{ keychain.tokn.x }} {{ steps.strat }} {{ iter.usr }}',
    'keychain: [{name: token, kind: static}]\n',
  ),
  {
    warnings: [
      'step "start": "ctx.pgae" is set nowhere in this playbook',
      'step "start": there is no keychain entry "tokn" -> token',
      'step "start": there is no step "strat" -> steps.start',
      'step "start": "iter.usr" is set nowhere in this playbook',
    ].map((text) => text.replace('"tokn" -> token', '"tokn" -> keychain.token')),
  },
)
finds('names: one is told once for a step', says('{{ a_b }} {{ a_b }} {{ a_b.c }}'), {
  warnings: [/"a_b" is set nowhere/],
})
finds(
  'names: what any `set`, `vars`, `collect` or argument gives is there',
  steps(`- step: start
  tool: [{name: one, kind: noop, set: {bound: 1}, spec: {policy: {rules: [{else: {set: {ctx.ruled: 1, iter.round: 1}}}]}}}]
  set: {ctx.page: 1}
  next: {arcs: [{step: a, set: {bare: 1}, args: {given: 1}}]}
- step: a
  input: {own: 1}
  loop: {in: [1], iterator: each}
  tool: {kind: noop, input: {arg: 1}, result: "{{ ctx.page }}{{ page }}{{ bare }}{{ given }}{{ own }}{{ arg }}{{ each }}{{ iter.each }}{{ iter.round }}{{ ctx.ruled }}{{ bound }}"}
`),
  {},
)
finds(
  'names: a label and an iterator are those of their own step',
  steps(`- step: start
  loop: {in: [1], iterator: each}
  tool: [{name: fetch, kind: noop}, {name: use, kind: noop, result: "{{ fetch }}"}]
  next: {arcs: [{step: a}]}
- {step: a, tool: {kind: noop, result: "{{ fetch }}{{ each }}{{ start.fetch }}"}}
`),
  { warnings: [/step "a": "fetch" is set nowhere/, /step "a": "each" is set nowhere/] },
)
finds(
  'names: the result of a step that comes later cannot be there',
  steps(`- {step: start, tool: {kind: noop, result: "{{ last_one.x }}{{ steps.last_one }}"}, next: {arcs: [{step: last_one}]}}
- {step: last_one, tool: {kind: noop, result: "{{ start }}"}}
`),
  {
    warnings: [
      'step "start": the result of "last_one" cannot be there: no way leads from "last_one" to "start"',
      /^step "start": the result of "last_one" cannot be there/,
    ],
  },
)
finds(
  'names: in a cycle any step may have come before',
  steps(`- {step: start, tool: {kind: noop, result: "{{ b }}"}, next: {arcs: [{step: b}]}}
- {step: b, tool: {kind: noop, result: "{{ start }}"}, next: {arcs: [{step: start, when: "{{ result }}"}, {step: c}]}}
- {step: c, tool: {kind: noop, result: "{{ start }}{{ b }}"}}
`),
  {},
)
finds(
  'names: the final step comes after all',
  steps(
    '- {step: start}\n- {step: bye, tool: {kind: noop, result: "{{ start }}"}}\n',
    'executor: {spec: {final_step: bye}}\n',
  ),
  {},
)
finds(
  'names: where arcs lead astray nothing is said of what comes before what',
  steps(
    '- {step: start, next: {arcs: [{step: ab}]}}\n- {step: abc, tool: {kind: noop, result: "{{ start }}"}}\n',
  ),
  {
    faults: [/leads to "ab", which is no step -> abc/],
  },
)
finds(
  'names: workload and keychain know what there is at the start',
  steps(
    '- {step: start, set: {ctx.x: 1}}\n',
    'workload: {a: "{{ execution_id }}{{ b }}{{ start }}{{ x }}", b: 1}\nkeychain: [{name: k, kind: static, token: "{{ a }}{{ ctx.x }}{{ keychain.k }}"}]\n',
  ),
  {
    warnings: [
      'workload: "start" is not there yet: this is evaluated at the start',
      'workload: "x" is not there yet: this is evaluated at the start',
      'keychain: "ctx" is not there yet: this is evaluated at the start',
    ],
  },
)
finds(
  'names: of the seed dialect are in one bag',
  steps(`- step: start
  tool: {kind: noop}
  args: {a: 1}
  vars: {v: "{{ result }}"}
  case: [{when: "event.name == 'call.done'", then: [{set: {s: 1}}, {collect: {from: result, into: list}}, {next: {step: b, args: {handed: 1}}}]}]
- {step: b, tool: {kind: noop, result: "{{ v }}{{ vars.s }}{{ workload.list }}{{ ctx.v }}{{ handed }}{{ vars.other }}"}}
`),
  { warnings: ['step "b": "vars.other" is set nowhere in this playbook; it must come with the payload'] },
)

// Templates that do not parse, and words that do not exist.

t.test('templates: the place of a fault is that of the character, however the text is written', async (t) => {
  const text = `metadata: {path: p}
workflow:
- step: start
  tool:
    kind: noop
    a: plain {{ x y }}
    b: 'it''s {{ x y }}'
    c: "tab\\t\\u00e9\\n {{ x y }}"
    d: |
      first
        {{ x y }}
    e: >-
      folded
      and {{
        x y }}
    f: plain that goes
      on {{ x y }}
  next:
    arcs:
    - {step: start, when: x y}
`
  const lines = text.split('\n')
  const { warnings } = check(text)
  const broken = warnings.filter(({ message }) => message.includes('does not parse'))
  t.equal(broken.length, 7)
  for (const { line, column, message } of broken)
    t.equal(lines[line - 1]?.[column - 1], 'y', `${line}:${column} ${message}`)
  t.match(broken[3], {
    line: 11,
    message: /\(line 2, column 8 of the template\)/,
    path: 'workflow[0].tool.d',
  })
})
finds(
  'templates: filters, tests and functions that do not exist',
  says('{{ 1 | tojsn }}{{ 1 is defned }}{{ uuid() }}'),
  {
    warnings: [
      'step "start": there is no filter "tojsn" -> tojson',
      'step "start": there is no test "defned" -> defined',
      'step "start": there is no function "uuid()"',
    ],
  },
)
finds(
  'templates: prose and keys are none',
  steps(
    '- {step: start, desc: "{{ a b }}", tool: {kind: noop, desc: "{{ a b }}", result: {"{{ a b }}": 1}}, next: {arcs: [{step: start, desc: "{{ a b }}"}]}}\n',
  ),
  {},
)
finds(
  'templates: `when` among data is a text like any',
  steps(
    '- {step: start, tool: {kind: noop, result: {when: "no condition here"}, input: {when: "nor here"}}}\n',
  ),
  {},
)

finds(
  'templates: without quotes they are none',
  steps(
    '- step: start\n  tool: {kind: noop, result: {{ start.x }} }\n  loop:\n    in: {{ start }}\n    iterator: x\n',
  ),
  {
    faults: [
      'a template must stand in quotes; without them YAML reads a mapping -> "{{ start.x }}"',
      /in quotes.* -> "\{\{ start \}\}"/,
    ],
  },
)
t.test('templates: without quotes where YAML cannot go on they are guessed', async (t) => {
  const { faults } = check(steps('- step: start\n  next: {arcs: []}\n  desc: {{ a }} and {{ b }}\n'))
  t.match(faults, [{ line: 5, message: /\(a template must stand in quotes\)$/ }])
})

// Sets, retries, loops, keys.

finds(
  'set: scopes that there are not, and names that cannot be read',
  steps(
    '- {step: start, set: {cxt.page: 1, ctx.a.b: 2, ctx: {page: 1}, ctx.fine: 1, plain: 1, iter.x: 1, step.y: 1}}\n',
  ),
  {
    warnings: [
      '"cxt" is no scope of set; there are ctx, iter and step -> ctx.page',
      /"ctx.a.b" is no name that a template can read/,
      'this sets a name "ctx"; to set names in ctx, write each as "ctx.<name>"',
    ],
  },
)
finds(
  'set: of arcs, tools and rules as well, but not of data',
  steps(
    '- {step: start, tool: {kind: noop, result: {set: {a.b: 1}}, set: {x.a: 1}, spec: {policy: {rules: [{else: {then: {do: continue, set: {y.a: 1}}}}]}}}, next: {arcs: [{step: start, when: "{{ result }}", set: {z.a: 1}}]}}\n',
  ),
  {
    warnings: [/"x" is no scope/, /"y" is no scope/, /"z" is no scope/],
  },
)
finds(
  'retry: what is no number of runs or seconds',
  steps(`- step: start
  tool:
    kind: noop
    retry: {max_attempts: many, delay: -1}
    spec: {policy: {rules: [{when: true, then: {do: retry, attempts: 0, delay: soon}}, {else: {do: retry, attempts: 1.5}}]}}
  spec: {max_attempts: none}
`),
  {
    faults: [
      'max_attempts is "many"; a whole number from 1 was expected',
      'delay is -1; a number of seconds from 0 was expected',
      'attempts is 0; a whole number from 1 was expected',
      'delay is "soon"; a number of seconds from 0 was expected',
      'attempts is 1.5; a whole number from 1 was expected',
      'max_attempts is "none"; a whole number from 1 was expected',
    ],
  },
)
finds(
  'retry: digits and templates are numbers',
  steps(
    '- {step: start, tool: {kind: noop, spec: {policy: {rules: [{else: {do: retry, attempts: "3", delay: "0.5"}}]}}, retry: {max_attempts: "{{ 3 }}"}}}\n',
  ),
  {},
)
finds(
  'loop: over what is no list, with a name that is none',
  steps(
    '- {step: start, loop: {in: items, iterator: my item, spec: {mode: parallel, max_in_flihgt: 3}, itertor: x}, tool: {kind: noop}}\n',
  ),
  {
    warnings: [
      'in is the text "items"; a list was expected, so that the step fails -> {{ items }}',
      '"my item" is no name that a template can read; letters, digits and _ were expected',
      '"max_in_flihgt" is not known here and is ignored -> max_in_flight',
      '"itertor" is not known here and is ignored -> iterator',
    ],
  },
)
for (const list of ['[1]', '{a: 1}', '3', '"[1, 2]"', '"{{ result }}"', '"5"']) {
  finds(
    `loop: in: ${list} is taken`,
    steps(`- {step: start, loop: {in: ${list}, iterator: x}, tool: {kind: noop}}\n`),
    {},
  )
}
finds(
  'keys: those of rules, policies, the executor, and near ones at the top',
  steps(
    '- {step: start, tool: {kind: noop, spec: {policy: {ruls: [], rules: [{wen: true, then: {do: continue, dely: 1}}]}}}, spec: {polcy: {}}}\n',
    'worklaod: {}\nnotes: mine\nexecutor: {spec: {entry_stp: start}}\n',
  ),
  {
    warnings: [
      /"worklaod".* -> workload/,
      /"entry_stp".* -> entry_step/,
      /"ruls".* -> rules/,
      /"wen".* -> when/,
      /"dely".* -> delay/,
      /"polcy".* -> policy/,
    ],
  },
)

// All of it together.

t.test('all faults and warnings come at once, in the order of the text, each once', async (t) => {
  const { faults, warnings } = check(
    'workflow:\n- step: start\n  tool: {kind: echo, loud: 2, txt: a}\n  nxt: a\n- {step: b, next: {arcs: [{step: c}]}}\n',
  )
  t.match(messages(faults), [/metadata.path is missing/, /needs "text"/, /"loud"/, /leads to "c"/])
  t.match(messages(warnings), [/no field "txt"/, /"nxt" is not known/])
  const lines = faults.map(({ line, column }) => line * 1000 + column)
  t.same(
    lines,
    [...lines].sort((a, b) => a - b),
  )
})
t.test('more than a hundred are counted', async (t) => {
  const { faults } = check(
    steps(
      `- step: start\n  next: {arcs: [${Array.from({ length: 150 }, (_, i) => `{step: s${i}}`).join(', ')}]}\n`,
    ),
  )
  t.equal(faults.length, 101)
  t.match(faults.at(-1), { message: 'there are 50 more faults' })
})
t.test('a playbook that was registered before is read without any of this', async (t) => {
  t.same(compilePlaybook(tool('text: 5, tiemout: "{{ a b }}"')).warnings, [])
})
t.test('what is built in is described as its tools have it', async (t) => {
  const { artifactTool } = await import('../../../core/worker/artifact.ts')
  const fieldsOf = (input: object) => Object.keys((input as { properties: object }).properties)
  const described = BUILT_IN_TOOLS.find(({ kind }) => kind === 'artifact')!
  const built = artifactTool({} as Parameters<typeof artifactTool>[0])
  t.same(
    fieldsOf(built.input).filter((name) => !fieldsOf(described.input).includes(name)),
    [],
  )
  t.equal(described.effect, built.effect)
})

t.test('check: fields of sinks and of cursors are held against their tools too', async (t) => {
  const { faults, warnings } = check(`
metadata: {path: p}
workflow:
- step: start
  loop: {iterator: row, cursor: {kind: postgres, claim: "SELECT 1", timeout: soon, max_rows: 3}, spec: {mode: cursor}}
  tool: {kind: noop}
  sink: {tool: echo, text: a, loud: maybe, lout: 1}
  case:
  - {when: "{{ event.name == 'call.done' }}", then: [{sink: {tool: {kind: strict, b: 1}}}, {next: end}]}
- step: end
  tool: {kind: echo, text: a, sink: [{tool: echo, how: never, text: b}]}
`)
  const told = [...faults, ...warnings].map(({ message }) => message)
  for (const part of [
    /the cursor of step "start": field "timeout" of the tool postgres is text/,
    /the cursor of step "start": the tool postgres has no field "max_rows"/,
    /the sink of step "start": field "loud" of the tool echo is text/,
    /the sink of step "start": the tool echo has no field "lout"/,
    /the sink of step "start": the tool strict has no field "b"/,
    /the sink of step "end": field "how" of the tool echo is text/,
  ]) {
    t.ok(
      told.some((message) => part.test(message)),
      String(part),
    )
  }
  t.equal(told.filter((message) => /^the (sink|cursor)/.test(message)).length, 6, told.join('\n'))
})
