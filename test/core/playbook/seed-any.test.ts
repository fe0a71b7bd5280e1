import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { isNoetlError } from '../../../core/errors.ts'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import { printPlaybook } from '../../../core/playbook/print.ts'
import type { Playbook } from '../../../core/schemas/playbook.ts'
import { compileCondition, compileTemplate } from '../../../core/template/template.ts'
import { simulate } from '../../support/simulate.ts'

/** Conditions as seed playbooks have them, and such as they should not. */
const when = fc.constantFrom(
  "{{ event.name == 'step.enter' }}",
  "{{ event.name == 'step.enter' and workload.w }}",
  "{{ event.name == 'step.exit' }}",
  "{{ event['name'] == 'step.exit' and result.n }}",
  "{{ event.name in ['call.done', 'call.error'] }}",
  "{{ event.name == 'call.error' }}",
  '{{ error is defined }}',
  '{{ result.n }}',
  'result.n == 1',
  '{{ workload.w }} == 1',
  '{% if result.n %}yes{% endif %}',
  '{{- vars.x -}}',
  '{{ loop.done }}',
  "{{ event.name == 'step.exit' and loop.done }}",
  "{{ event.name == 'loop.done' }}",
  '{{ not loop.done }}',
  'true',
  '',
  true,
  false,
  null,
  1,
)
type Target = string | object | (string | object)[]
const anywhere: Target[] = [
  'a',
  'b',
  'start',
  { step: 'a', args: { x: '{{ result.n }}' } },
  ['a', { step: 'b' }],
  [],
]
const from = fc.constantFrom('result.n', '{{ result }}', 'n', 5, { k: '{{ vars.x }}' }, [1, 2])
const sink = fc.record(
  {
    backend: fc.constantFrom('postgres', 'duckdb', 'http'),
    table: fc.constantFrom('t', 's.t', '{{ workload.t }}', 'odd "name'),
    url: fc.constant('http://x'),
    from,
    mode: fc.constantFrom('append', 'replace', 'insert'),
    args: fc.constant({ a: '{{ result.n }}', b: '{{ error.message }}' }),
  },
  { requiredKeys: ['backend', 'table'] },
)
/** Written out as a key, it is taken for a promise by linters. */
const THEN = 'then'

/** A step that leads to some of these, and to no others. */
function stepTo(targets: Target[]): fc.Arbitrary<object> {
  const target = fc.constantFrom(...targets)
  const action = fc.record(
    {
      next: target,
      set: fc.constantFrom({ x: '{{ result.n }}' }, { 'vars.x': 1, 'ctx.y': '{{ vars.x }}' }),
      collect: fc.record(
        { from, into: fc.constantFrom('all', 'vars.x'), mode: fc.constantFrom('append', 'extend') },
        { requiredKeys: ['into'] },
      ),
      call: target,
      sink,
      retry: fc.constantFrom(true, 2, {
        max_attempts: '{{ workload.w }}',
        delay: 0,
        when: '{{ error.status }}',
      }),
      result: fc.record({ from }),
      fail: fc.constantFrom({}, { message: 'no {{ result.n }}' }, 'no'),
    },
    { requiredKeys: [] },
  )
  const clause = fc.oneof(
    {
      weight: 5,
      arbitrary: fc
        .tuple(when, fc.oneof(action, fc.array(action, { maxLength: 3 }), target))
        .map(([when, actions]) => ({ when, [THEN]: actions })),
    },
    { weight: 1, arbitrary: fc.record({ else: fc.oneof(action, target) }) },
  )
  return fc.record(
    {
      tool: fc.constantFrom<object>({ kind: 'noop' }, { kind: 'postgres', query: 'SELECT 1', retry: 2 }, [
        { name: 'x y', kind: 'noop' },
      ]),
      case: fc.array(clause, { minLength: 1, maxLength: 4 }),
      loop: fc.constantFrom<object>(
        { in: [1, 2, 3], iterator: 'n' },
        { in: [1, 2], iterator: 'n', mode: 'async' },
      ),
      sink,
      vars: fc.constant({ v: '{{ result.n }}' }),
      next: target,
    },
    { requiredKeys: ['case'] },
  )
}

const source = (steps: object[]) =>
  JSON.stringify({
    metadata: { path: 'p' },
    workload: { w: 1, t: 'x' },
    workflow: [{ ...steps[0], step: 'start' }, { ...steps[1], step: 'a' }, { step: 'b' }],
  })

/** The playbook; undefined when it has faults, which are told as such. */
function compiled(text: string): Playbook | undefined {
  try {
    return compilePlaybook(text, { toolKinds: ['noop', 'postgres', 'duckdb', 'http'] }).playbook
  } catch (error) {
    if (isNoetlError(error) && error.code === 'NOETL_ERR_PLAYBOOK_INVALID') return undefined
    throw error
  }
}

const plain = (playbook: Playbook) => ({
  ...playbook,
  steps: playbook.steps.map(({ line: _line, ...rest }) => rest),
})

t.test(
  'seed: whatever a case holds, it compiles to what prints and compiles to the same, or is refused',
  async (t) => {
    let good = 0
    t.doesNotThrow(() =>
      fc.assert(
        fc.property(fc.tuple(stepTo(anywhere), stepTo(anywhere)).map(source), (text) => {
          const playbook = compiled(text)
          if (playbook === undefined) return true
          good += 1
          const again = compilePlaybook(printPlaybook(playbook)).playbook
          return isDeepStrictEqual(plain(again), plain(playbook))
        }),
        { numRuns: 250 },
      ),
    )
    t.ok(good > 100, `${good} of them compiled`)
  },
)

t.test('seed: every condition and template that is made of others can be parsed', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.tuple(stepTo(anywhere), stepTo(anywhere)).map(source), (text) => {
        for (const { tasks, onEnter, onCall, onExit, next } of compiled(text)?.steps ?? []) {
          const reactions = [...onEnter, ...onCall, ...onExit]
          for (const { when } of [
            ...reactions,
            ...tasks,
            ...tasks.flatMap(({ rules }) => rules),
            ...next.arcs,
          ]) {
            if (when !== undefined) compileCondition(when)
          }
          for (const { config, input, rules } of tasks)
            compileTemplate([config, input, ...rules.map(({ set }) => set)])
          for (const { set, collect } of reactions) compileTemplate([set, ...collect.map(({ from }) => from)])
        }
      }),
      { numRuns: 250 },
    ),
  )
})

t.test('seed: where no way leads back, every execution ends', async (t) => {
  let completed = 0
  const forward = fc.tuple(
    stepTo(['a', 'b', ['a', { step: 'b' }], []]),
    stepTo(['b', { step: 'b', args: { x: 1 } }, []]),
  )
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        forward.map(source),
        fc.array(fc.constantFrom(0, 1, 2, 'error'), { minLength: 5 }),
        (text, given) => {
          if (compiled(text) === undefined) return true
          let calls = 0
          const gives = () => {
            const n = given[calls++ % given.length]!
            return n === 'error' ? new Error('no') : { n }
          }
          const { status } = simulate(text, { gives: { start: gives, a: gives } })
          if (status === 'COMPLETED') completed += 1
          return status === 'COMPLETED' || status === 'FAILED'
        },
      ),
      { numRuns: 250 },
    ),
  )
  t.ok(completed > 40, `${completed} of them completed`)
})
