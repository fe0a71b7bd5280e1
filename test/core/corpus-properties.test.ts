import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import type { Event } from '../../core/schemas/event.ts'
import { isEntry, type Played, play } from '../support/play.ts'
import { replay } from '../support/simulate.ts'

/** Times that a way back is open, so that every playbook ends. */
const ROUNDS = 2

const step = (size: number) =>
  fc.record({
    mode: fc.constantFrom('exclusive', 'inclusive'),
    targets: fc.uniqueArray(fc.integer({ min: 0, max: size - 1 }), { maxLength: 3 }),
    what: fc.constantFrom('tool', 'list', 'router', 'loop', 'child', 'admit'),
    items: fc.integer({ min: 0, max: 4 }),
    parallel: fc.boolean(),
    /** It fails, and a rule lets it pass, an arc catches it, or nothing does. */
    fails: fc.option(fc.constantFrom('passed', 'caught', 'uncaught'), { freq: 6 }),
  })

const playbooks = fc.integer({ min: 1, max: 8 }).chain((size) =>
  fc.record({
    steps: fc.array(step(size), { minLength: size, maxLength: size }),
    picks: fc.array(fc.nat(20), { minLength: 1, maxLength: 30 }),
    mayFail: fc.boolean(),
  }),
)

type Drawn = typeof playbooks extends fc.Arbitrary<infer T> ? T : never

const nameOf = (at: number) => (at === 0 ? 'start' : `s${at}`)

/** The playbook's text: its steps are JSON, which is YAML as well. */
function textOf({ steps, mayFail }: Drawn): string {
  const workflow = steps.map(({ mode, targets, what, items, parallel, fails }, at) => {
    const how = mayFail ? fails : null
    const rules = how === null ? [] : [{ else: { do: 'fail' } }]
    const tool = {
      kind: 'noop',
      result: { at, round: `{{ ctx.v${at} | default(0) }}`, seen: '{{ steps | list | sort }}' },
      spec: { policy: { rules: how === 'passed' ? [{ else: { do: 'continue' } }] : rules } },
    }
    const list = [
      { ...tool, name: 'a', spec: {} },
      { ...tool, name: 'b' },
    ]
    const child = { kind: 'playbook', path: 'kid', input: { n: at }, return_step: 'start' }
    const body = { tool, loop: tool, admit: tool, list, child, router: undefined }[what]
    return {
      step: nameOf(at),
      ...(body === undefined ? {} : { tool: body }),
      ...(what === 'loop'
        ? {
            loop: {
              in: items,
              iterator: 'x',
              spec: { mode: parallel ? 'parallel' : 'sequential', max_in_flight: 2 },
            },
          }
        : {}),
      ...(what === 'admit'
        ? {
            spec: {
              policy: {
                admit: { rules: [{ else: { allow: items > 1 } }] },
              },
            },
          }
        : {}),
      set: { [`ctx.v${at}`]: `{{ (ctx.v${at} | default(0)) + 1 }}` },
      next: {
        spec: { mode },
        arcs: targets.map((target) => ({
          step: nameOf(target),
          ...(target <= at ? { when: `{{ ctx.v${at} is defined and ctx.v${at} < ${ROUNDS} }}` } : {}),
          ...(target > at && how === 'caught' ? { when: '{{ true }}' } : {}),
        })),
      },
    }
  })
  return `workflow: ${JSON.stringify(workflow)}`
}

const KID = 'workflow: [{step: start, tool: {kind: noop, result: "{{ n }}"}}]'

function run(drawn: Drawn, forgetful = false): Promise<Played> {
  const { picks } = drawn
  let at = 0
  return play(textOf(drawn), {
    children: { kid: KID },
    pick: (open) => picks[at++ % picks.length]! % Math.max(1, open),
    forgetful,
  })
}

/** The same without ways back. */
function forward(drawn: Drawn): Drawn {
  const steps = drawn.steps.map((step, at) => ({
    ...step,
    targets: step.targets.filter((target) => target > at),
  }))
  return { ...drawn, steps }
}

const holds = (name: string, numRuns: number, property: (drawn: Drawn) => Promise<boolean>) =>
  t.test(`playbooks: ${name}`, () => fc.assert(fc.asyncProperty(playbooks, property), { numRuns }))

holds('every one ends, and fails only where it may', 150, async (drawn) => {
  const { status } = await run(drawn)
  return status === 'COMPLETED' || (status === 'FAILED' && drawn.mayFail)
})

holds('the events folded again give the same state', 100, async (drawn) => {
  const { told, state } = await run(drawn)
  return isDeepStrictEqual(replay(told), state)
})

holds('it comes to the same when all is read back from what is stored', 60, async (drawn) => {
  const [kept, read] = [await run(drawn), await run(drawn, true)]
  const facts = ({ status, error, ctx, results, entered }: Played) => ({
    status,
    error,
    ctx,
    results,
    entered,
  })
  return isDeepStrictEqual(facts(kept), facts(read))
})

holds('no step runs that no arc reached, and none more often than it was reached', 150, async (drawn) => {
  const { told } = await run(drawn)
  const reached = new Map([['start', 1]])
  for (const event of told) {
    for (const { step } of nextOf(event)) reached.set(step, (reached.get(step) ?? 0) + 1)
    if (!isEntry(event)) continue
    const left = (reached.get(event.node_name ?? '') ?? 0) - 1
    if (left < 0) return false
    reached.set(event.node_name ?? '', left)
  }
  return true
})

holds('without ways back each step runs once at most, and after all that lead to it', 200, async (drawn) => {
  const plain = forward(drawn)
  const { entered } = await run(plain)
  if (new Set(entered).size !== entered.length) return false
  const place = new Map(entered.map((name, at) => [name, at]))
  return plain.steps.every(({ targets }, at) =>
    targets.every((target) => {
      const [before, after] = [place.get(nameOf(at)), place.get(nameOf(target))]
      return before === undefined || after === undefined || before < after
    }),
  )
})

holds('a step sees the results of all that ran before it and lead to it', 150, async (drawn) => {
  const plain = forward({ ...drawn, mayFail: false })
  const { results } = await run(plain)
  const hasResult = ({ what }: Drawn['steps'][number]) => what !== 'router' && what !== 'admit'
  return plain.steps.every((step, at) => {
    const name = nameOf(at)
    if (!hasResult(step) || results[name] === undefined) return true
    return step.targets.every((target) => {
      const own = results[nameOf(target)]
      const { what } = plain.steps[target]!
      const seen = what === 'tool' && (own as { seen: string[] } | undefined)?.seen
      return !seen || seen.includes(name)
    })
  })
})

function nextOf({ event_type, context }: Event): { step: string }[] {
  return event_type === 'step.exit' ? ((context?.next ?? []) as { step: string }[]) : []
}
