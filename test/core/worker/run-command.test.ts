import { pino } from 'pino'
import t from 'tap'
import { Type } from 'typebox'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import type { LeasedCommand, Outcome } from '../../../core/schemas/command.ts'
import type { Json, JsonObject } from '../../../core/schemas/json.ts'
import { CallAborted, CONTRACT, defineTool, ToolError } from '../../../core/tools/define.ts'
import { noopTool } from '../../../core/tools/noop.ts'
import { makeToolRegistry } from '../../../core/tools/registry.ts'
import { runCommand } from '../../../core/worker/run-command.ts'

interface Ran {
  outcome: Outcome
  /** Rendered fields of each call of `probe`, in order. */
  calls: JsonObject[]
}

/** Runs the step `start` of a playbook whose tools are `probe` (gives what `gives` says) and `noop`. */
async function run(
  step: string,
  options: {
    gives?: (call: {
      fields: JsonObject
      times: number
      attempt: number
      key: string
    }) => Json | Promise<Json>
    context?: Partial<LeasedCommand['context']>
    iteration?: LeasedCommand['iteration']
    args?: JsonObject
    resume?: LeasedCommand['resume']
    attempt?: number
    signal?: AbortSignal
  } = {},
): Promise<Ran> {
  const calls: JsonObject[] = []
  const probe = defineTool({
    kind: 'probe',
    contract: CONTRACT,
    input: Type.Object({ strict: Type.Optional(Type.Number()) }, { additionalProperties: true }),
    output: Type.Unknown(),
    textFields: ['sql'],
    effect: 'pure',
    async run(fields, call) {
      calls.push(fields as JsonObject)
      const given = options.gives?.({
        fields: fields as JsonObject,
        times: calls.length,
        attempt: call.attempt,
        key: call.idempotencyKey,
      })
      return (await given) ?? ((fields as JsonObject).gives as Json) ?? null
    },
  })
  const tools = makeToolRegistry()
  tools.register(probe, { name: 'test', version: '1.0.0' })
  tools.register(noopTool, { name: 'test', version: '1.0.0' })
  const { playbook } = compilePlaybook(
    `metadata: {path: p}\nworkflow:\n- step: start\n${step.replace(/^/gm, '  ')}`,
  )
  const { tasks, pipeline, input } = playbook.steps[0]!
  const command: LeasedCommand = {
    command_id: '7',
    execution_id: '42',
    parent_execution_id: null,
    step: 'start',
    run_id: '7',
    attempt: options.attempt ?? 1,
    max_attempts: 3,
    token: '',
    lease_seconds: 15,
    lane: 'normal',
    pool: '',
    playbook: { path: 'p', version: 1, catalog_id: '1', dialect: 'current' },
    body: { tasks, pipeline, input },
    args: options.args ?? {},
    iteration: options.iteration ?? null,
    context: {
      workload: {},
      ctx: {},
      steps: {},
      stubs: {},
      previous: null,
      previous_stub: null,
      keychain: [],
      ...options.context,
    },
    frame: null,
    resume: options.resume ?? null,
  }
  const outcome = await runCommand(command, {
    tools,
    log: pino({ level: 'silent' }),
    signal: options.signal ?? new AbortController().signal,
    credentials: () => Promise.reject(new ToolError('auth', 'none')),
    keychain: async () => ({}),
    now: () => '2026-01-01T00:00:00.000Z',
  })
  return { outcome, calls }
}

const boom = (): never => {
  throw new ToolError('server_error', 'boom', { status: 500, result: { status_code: 500, body: 'no' } })
}

t.test('a single tool: its result is the outcome, its fields are rendered with their types', async (t) => {
  const { outcome, calls } = await run(
    `tool:
  kind: probe
  text: "n is {{ n }}"
  number: "{{ n }}"
  list: ["{{ n }}", "{{ missing }}"]
  sql: "SELECT {{ n }}, {{ o }}, '{{ missing }}'"
  gives: {a: "{{ n }}"}`,
    { context: { workload: { n: 3, o: { k: [1, true, null] } } } },
  )
  t.same(outcome.result, { a: 3 })
  t.equal(outcome.status, 'ok')
  t.same(calls[0], {
    text: 'n is 3',
    number: 3,
    list: [3, null],
    sql: `SELECT 3, {"k":[1,true,null]}, ''`,
    gives: { a: 3 },
    input: {},
  })
})

t.test(
  'arguments: step input lies under tool input, and what an arc hands over wins over both',
  async (t) => {
    const { calls } = await run(
      `input: {a: step, b: step, c: step}
tool: {kind: probe, input: {b: tool, c: tool}, see: "{{ args.a }} {{ input.b }} {{ c }}"}`,
      { args: { c: 'arc' } },
    )
    t.same(calls[0], { input: { a: 'step', b: 'tool', c: 'arc' }, see: 'step tool arc' })
  },
)

t.test('a pipeline: results are bound to labels and _prev, and merged in order', async (t) => {
  const { outcome, calls } = await run(`tool:
- {name: one, kind: probe, gives: {a: 1, shared: first}}
- {name: two, kind: probe, gives: {b: "{{ one.a + 1 }}", shared: "{{ _prev.a }}"}}
- {kind: probe, gives: "{{ results.one.a }} {{ two.data.b }}"}`)
  t.same(outcome.result, {
    a: 1,
    shared: 1,
    b: 2,
    one: { a: 1, shared: 'first' },
    two: { b: 2, shared: 1 },
    task_2: '1 2',
  })
  t.equal(calls.length, 3)
})

t.test('a pipeline of one item whose result is no object has that result', async (t) => {
  t.same((await run('tool: [{kind: probe, gives: [1, 2]}]')).outcome.result, [1, 2])
})

t.test(
  'no rules: an error ends the pipeline and is the outcome, with what there was of results',
  async (t) => {
    const { outcome, calls } = await run(
      'tool: [{name: a, kind: probe, gives: {x: 1}}, {name: b, kind: probe}, {kind: probe}]',
      {
        gives: ({ times }) => (times === 2 ? boom() : { x: 1 }),
      },
    )
    t.equal(calls.length, 2)
    t.match(outcome, {
      status: 'error',
      error: { kind: 'server_error', message: 'boom', status: 500, status_code: 500, retryable: true },
      result: { x: 1, status_code: 500, a: { x: 1 } },
    })
  },
)

const rules = (text: string, tool = 'name: a, kind: probe') =>
  `tool: {${tool}, spec: {policy: {rules: ${text}}}}`
const retry = (more = '') =>
  `[{when: "{{ output.status == 'error' }}", then: {do: retry, attempts: 3, delay: 0.001 ${more}}}]`

t.test('rules: retry on a single tool runs it again until it succeeds', async (t) => {
  const seen: [number, string][] = []
  const { outcome } = await run(rules(retry()), {
    gives: ({ times, attempt, key }) => {
      seen.push([attempt, key])
      return times < 3 ? boom() : { ok: true }
    },
  })
  t.same(outcome.result, { ok: true })
  t.equal(outcome.meta.calls, 3)
  t.same(seen, [
    [1, '7-a-1'],
    [2, '7-a-1'],
    [3, '7-a-1'],
  ])
})

t.test('rules: attempts counts runs in all; then it fails with the last error', async (t) => {
  const { outcome, calls } = await run(rules(retry()), { gives: boom })
  t.equal(calls.length, 3)
  t.match(outcome, {
    status: 'error',
    error: { message: 'boom (after 3 runs)' },
    result: { status_code: 500 },
  })
})

t.test('rules: an ok result may be asked for again, and fails when its rule is never content', async (t) => {
  const text = '[{when: "{{ output.n < 3 }}", then: {do: retry, attempts: 2, delay: 0.001}}]'
  t.match((await run(rules(text), { gives: ({ times }) => ({ n: times + 1 }) })).outcome, {
    status: 'ok',
    result: { n: 3 },
  })
  t.match((await run(rules(text), { gives: () => ({ n: 0 }) })).outcome, {
    status: 'error',
    error: { message: /was not as its rule wants it after 2 runs/ },
  })
})

t.test('rules: continue lets an error pass; the name holds the envelope', async (t) => {
  const { outcome } = await run(
    `tool:
- {name: a, kind: probe, spec: {policy: {rules: [{when: true, then: {do: continue}}]}}}
- {name: b, kind: noop, result: {seen: "{{ a.error.kind }} {{ a.status }}"}}`,
    { gives: boom },
  )
  t.same(outcome.status, 'ok')
  t.match(outcome.result, {
    seen: 'server_error error',
    a: { status: 'error', error: { message: 'boom' } },
    status_code: 500,
  })
  t.notHas(outcome.result as object, 'error', 'the envelope is not merged')
})

t.test('rules: else is taken with and without then', async (t) => {
  for (const clause of ['{else: {then: {do: continue}}}', '{else: {do: continue}}']) {
    const { outcome } = await run(rules(`[{when: "{{ false }}", then: {do: fail}}, ${clause}]`), {
      gives: boom,
    })
    t.equal(outcome.status, 'ok', clause)
  }
})

t.test('rules: fail turns an ok result into an error with its own message', async (t) => {
  const { outcome } = await run(
    rules('[{when: "{{ output.n == 1 }}", then: {do: fail, message: "n is {{ output.n }}"}}]'),
    { gives: () => ({ n: 1 }) },
  )
  t.match(outcome, { status: 'error', error: { message: 'n is 1' }, result: { n: 1 } })
})

t.test('rules: break leaves the list with success', async (t) => {
  const { outcome, calls } = await run(`tool:
- {name: a, kind: probe, gives: {x: 1}, spec: {policy: {rules: [{when: "{{ output.x == 1 }}", then: {do: break}}]}}}
- {name: b, kind: probe}`)
  t.equal(calls.length, 1)
  t.match(outcome, { status: 'ok', result: { x: 1 } })
})

t.test('rules: jump goes to a label, and back to the one before', async (t) => {
  const { outcome, calls } = await run(`tool:
- {name: count, kind: probe, gives: {n: "{{ (count.n | default(0)) + 1 }}"}}
- name: check
  kind: noop
  result: {seen: "{{ count.n }}"}
  spec: {policy: {rules: [{when: "{{ count.n < 3 }}", then: {do: jump, to: previous}}]}}`)
  t.equal(calls.length, 3)
  t.match(outcome, { status: 'ok', result: { seen: 3, n: 3 } })
})

t.test('rules: the own step, label, output and attempt are visible', async (t) => {
  const text = `[{when: "{{ start.n == 1 and a.n == 1 and output.n == 1 and outcome.data.n == 1 and _attempt == 1 and output.error.retryable is not defined and not output.error.retryable and not (output.http.status in [500]) }}", then: {do: fail, message: seen}}]`
  t.match((await run(rules(text), { gives: () => ({ n: 1 }) })).outcome, { error: { message: 'seen' } })
})

t.test('rules: their set and the tool set write ctx, iter and names, natively', async (t) => {
  const { outcome, calls } = await run(`tool:
- name: a
  kind: probe
  gives: {n: 5}
  set: {kept: "{{ output.n }}", ctx.last: "{{ output }}"}
  spec: {policy: {rules: [{when: true, then: {do: continue, set: {ctx.n: "{{ output.n }}", iter.page: 2}}}]}}
- {name: b, kind: probe, see: ["{{ kept }}", "{{ ctx.n }}", "{{ n }}", "{{ iter.page }}", "{{ ctx.last.data.n }}"]}`)
  t.same(calls[1]?.see, [5, 5, 5, 2, 5])
  t.equal(outcome.set.n, 5)
  t.notHas(outcome.set, 'kept', 'a bare name ends with the pipeline')
})

t.test('set: a bare name of a single tool is the execution’s', async (t) => {
  t.same((await run('tool: {kind: probe, gives: {n: 5}, set: {found: "{{ output.n }}"}}')).outcome.set, {
    found: 5,
  })
})

t.test('names: workload, steps, ctx, ids, the result before, the iterator', async (t) => {
  const { calls } = await run(
    `tool:
  kind: probe
  see: ["{{ w }}", "{{ workload.w }}", "{{ before.x }}", "{{ steps.before.x }}", "{{ ctx.c }}", "{{ c }}", "{{ execution_id }}", "{{ job.uuid }}",
    "{{ result.x }}", "{{ user.id }}", "{{ iter.user.id }}", "{{ iter.index }}", "{{ loop_index }}", "{{ loop.last }}", "{{ item.id }}", "{{ iter._total }}", "{{ now() }}"]`,
    {
      context: { workload: { w: 1 }, steps: { before: { x: 2 } }, ctx: { c: 3 }, previous: { x: 4 } },
      iteration: { iterator: 'user', index: 1, total: 2, item: { id: 'u' } },
    },
  )
  t.same(calls[0]?.see, [
    1,
    1,
    2,
    2,
    3,
    3,
    '42',
    '42',
    4,
    'u',
    'u',
    1,
    1,
    true,
    'u',
    2,
    '2026-01-01T00:00:00.000Z',
  ])
})

t.test('templates: one that does not parse or cannot be evaluated is an error of the step', async (t) => {
  t.match((await run('tool: {kind: probe, a: "{{ ` }}"}')).outcome, {
    status: 'error',
    error: { code: 'NOETL_ERR_TEMPLATE_PARSE', kind: 'transform' },
  })
  t.match((await run('tool: {kind: probe, a: "{{ 1 / 0 }}"}')).outcome, {
    error: { code: 'NOETL_ERR_TEMPLATE_RENDER' },
  })
  t.match((await run('tool: {kind: probe, set: {a: "{{ 1 / 0 }}"}}')).outcome, {
    error: { code: 'NOETL_ERR_TEMPLATE_RENDER' },
  })
  t.match((await run(rules('[{when: "{{ 1 / 0 }}", then: {do: continue}}]'))).outcome, {
    error: { code: 'NOETL_ERR_TEMPLATE_RENDER' },
  })
})

t.test('tools: unknown kind, wrong input and a bug each have their code', async (t) => {
  t.match((await run('tool: {kind: nope}')).outcome, {
    error: { code: 'NOETL_ERR_TOOL_UNKNOWN', message: /"nope"; there are: noop, probe/ },
  })
  t.match((await run('tool: {kind: probe, strict: text}')).outcome, {
    error: { code: 'NOETL_ERR_TOOL_INPUT', kind: 'schema', message: /strict must be number/ },
  })
  const bug = await run('tool: {kind: probe}', {
    gives: () => Promise.reject(new TypeError('x is not a function')),
  })
  t.match(bug.outcome, { error: { code: 'NOETL_ERR_TOOL_BUG', retryable: false } })
})

t.test('abort: the reason comes out, also from a wait before a retry', async (t) => {
  const reason = new CallAborted('lease-lost', 'lost')
  await t.rejects(run('tool: {kind: probe}', { signal: AbortSignal.abort(reason) }), reason)
  const controller = new AbortController()
  const text = '[{when: true, then: {do: retry, attempts: 5, delay: 4}}]'
  await t.rejects(
    run(rules(text), {
      signal: controller.signal,
      gives: () => {
        setImmediate(() => controller.abort(reason))
        return null
      },
    }),
    reason,
  )
})

t.test(
  'a retry after five seconds or more ends the command, and the next goes on with the same call',
  async (t) => {
    const keys: string[] = []
    const pipeline = `tool:
  - {name: a, kind: probe, gives: {n: 1}, set: {bare: "{{ output.n }}", ctx.x: 2}}
  - name: b
    kind: probe
    note: "{{ bare }} {{ a.n }} {{ ctx.x }} {{ iter.y }} {{ _attempt }}"
    spec: {policy: {rules: [{when: "{{ output.status == 'error' }}", then: {do: retry, attempts: 3, delay: 5, set: {iter.y: 3}}}]}}`
    const gives = ({ times, key }: { times: number; key: string }) => {
      keys.push(key)
      return times === 2 ? boom() : undefined
    }
    const first = await run(pipeline, { gives: (call) => gives(call) as never })
    t.match(first.outcome, {
      status: 'retrying',
      delay_seconds: 5,
      error: { message: 'boom' },
      set: { x: 2 },
    })
    const { resume } = first.outcome as unknown as { resume: JsonObject }
    const second = await run(pipeline, {
      gives: ({ key }) => {
        keys.push(key)
        return { m: 4 }
      },
      resume: { state: JSON.parse(JSON.stringify(resume)), outcome: null },
    })
    t.match(second.outcome, { status: 'ok', result: { n: 1, m: 4, a: { n: 1 }, b: { m: 4 } }, set: { x: 2 } })
    t.same(
      second.calls.map((call) => call.note),
      ['1 1 2 3 2'],
      'only the call that failed is made again',
    )
    t.equal(keys[1], keys[2], 'with the same idempotency key')
    t.not(keys[0], keys[1])
  },
)

t.test('a probe is asked only when a run before was not heard of again, and its word counts', async (t) => {
  const tool = (done: boolean) =>
    `tool: {kind: probe, gives: ran, probe: {kind: probe, gives: {done: ${done}, result: before}}}`
  t.match((await run(tool(true))).outcome, { status: 'ok', result: 'ran' })
  t.match((await run(tool(true), { attempt: 2 })).outcome, { status: 'ok', result: 'before' })
  t.match((await run(tool(false), { attempt: 2 })).outcome, { status: 'ok', result: 'ran' })
})

t.test('auth: a template that gives nothing fails the call; without auth there is the default', async (t) => {
  for (const gives of [null, '']) {
    const { outcome, calls } = await run('tool: {kind: probe, auth: "{{ alias }}"}', {
      context: { workload: { alias: gives } },
    })
    t.match(outcome, { status: 'error', error: { kind: 'auth', code: 'NOETL_ERR_CREDENTIAL_EMPTY' } })
    t.equal(calls.length, 0)
  }
  t.match((await run('tool: {kind: probe, auth: "{{ missing }}"}')).outcome, { error: { kind: 'auth' } })
  t.match((await run('tool: {kind: probe, gives: 1}')).outcome, { status: 'ok', result: 1 })
})

t.test('a result that is nested too deeply is an error of its call', async (t) => {
  const nested = (levels: number) => {
    let value: Json = 1
    for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { v: value }
    return value
  }
  t.match((await run('tool: {kind: probe}', { gives: () => nested(199) })).outcome, { status: 'ok' })
  const deep = await run('tool: {kind: probe}', { gives: () => nested(100_000) })
  t.match(deep.outcome, { status: 'error', error: { code: 'NOETL_ERR_TOOL_OUTPUT', kind: 'schema' } })
})
