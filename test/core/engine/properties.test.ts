import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { makePlan } from '../../../core/engine/plan.ts'
import type { Event } from '../../../core/schemas/event.ts'
import type { Playbook, Step } from '../../../core/schemas/playbook.ts'
import { replay, simulatePlan } from '../../support/simulate.ts'

const MAX_VISITS = 3

/** Random graphs: forward and back arcs, loops, routers, both modes. Back arcs are taken a few times at most. */
const graphs = fc.integer({ min: 1, max: 9 }).chain((size) =>
  fc.record({
    steps: fc.array(
      fc.record({
        mode: fc.constantFrom('exclusive' as const, 'inclusive' as const),
        targets: fc.uniqueArray(fc.integer({ min: 0, max: size - 1 }), { maxLength: 3 }),
        router: fc.boolean(),
        loop: fc.option(fc.integer({ min: 0, max: 5 }), { freq: 4 }),
        fails: fc.boolean(),
      }),
      { minLength: size, maxLength: size },
    ),
    picks: fc.array(fc.nat(20), { minLength: 1, maxLength: 50 }),
    mayFail: fc.boolean(),
  }),
)

type Drawn = typeof graphs extends fc.Arbitrary<infer T> ? T : never

function planOf({ steps }: Drawn) {
  const workflow: Step[] = steps.map(({ mode, targets, router, loop }, i) => ({
    name: i === 0 ? 'start' : `s${i}`,
    line: i + 1,
    tasks: router ? [] : [{ label: 'task_0', kind: 'noop', config: {}, input: {}, set: {}, rules: [] }],
    pipeline: false,
    input: {},
    ...(loop === null || router
      ? {}
      : {
          loop: {
            in: loop,
            iterator: 'x',
            mode: loop % 2 === 0 ? ('parallel' as const) : ('sequential' as const),
            maxInFlight: 2,
          },
        }),
    set: { [`ctx.v${i}`]: `{{ (ctx.v${i} | default(0)) + 1 }}` },
    next: {
      mode,
      arcs: targets.map((target) => ({
        step: target === 0 ? 'start' : `s${target}`,
        // A way back is open only a few times, so that every graph ends.
        ...(target <= i ? { when: `{{ ctx.v${i} < ${MAX_VISITS} }}` } : {}),
        set: {},
        args: {},
      })),
    },
    admit: [],
    onEnter: [],
    onCall: [],
    onExit: [],
    loopResult: 'all' as const,
    outputSelect: [],
  }))
  const playbook: Playbook = {
    path: 'p',
    name: 'p',
    dialect: 'current',
    workload: {},
    steps: workflow,
    entry: 'start',
    onError: 'fail',
    keychain: [],
  }
  return makePlan(playbook, { catalogId: '1', path: 'p', version: 1 })
}

function runOf(drawn: Drawn) {
  const { picks, steps, mayFail } = drawn
  let at = 0
  return simulatePlan(planOf(drawn), {
    gives: mayFail
      ? Object.fromEntries(
          steps.map(({ fails }, i) => [
            i === 0 ? 'start' : `s${i}`,
            fails && i % 3 === 2 ? new Error(`s${i}`) : { i },
          ]),
        )
      : {},
    pick: (open) => picks[at++ % picks.length]! % Math.max(1, open),
    maxTurns: 50_000,
  })
}

t.test('engine: every graph ends, whatever the order in which its commands end', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(graphs, (drawn) => {
        const run = runOf(drawn)
        return run.status === 'COMPLETED' || (run.status === 'FAILED' && drawn.mayFail)
      }),
      { numRuns: 500 },
    ),
  )
})

t.test('engine: the events folded again give the same state', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(graphs, (drawn) => {
        const run = runOf(drawn)
        return isDeepStrictEqual(replay(run.events), run.state)
      }),
      { numRuns: 200 },
    ),
  )
})

t.test(
  'engine: no step is entered that no arc reached, and none more often than it was reached',
  async () => {
    fc.assert(
      fc.property(graphs, (drawn) => {
        const { events } = runOf(drawn)
        const reached = new Map<string, number>([['start', 1]])
        const entered = new Map<string, number>()
        for (const event of events) {
          if (event.event_type === 'step.exit') {
            for (const token of (event.context?.next ?? []) as { step: string }[]) {
              reached.set(token.step, (reached.get(token.step) ?? 0) + 1)
            }
          }
          if (isEntry(event)) {
            const step = event.node_name ?? ''
            entered.set(step, (entered.get(step) ?? 0) + 1)
            if ((entered.get(step) ?? 0) > (reached.get(step) ?? 0)) return false
          }
        }
        return true
      }),
      { numRuns: 300 },
    )
  },
)

t.test('engine: in a graph without a way back every step runs once at most, joins included', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(graphs, (drawn) => {
        const forward = {
          ...drawn,
          steps: drawn.steps.map((step, i) => ({
            ...step,
            targets: step.targets.filter((target) => target > i),
          })),
        }
        const { events } = runOf(forward)
        const entries = events.filter(isEntry).map((event) => event.node_name)
        return new Set(entries).size === entries.length
      }),
      { numRuns: 500 },
    ),
  )
})

t.test('engine: each command is settled once and every loop is done once', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(graphs, (drawn) => {
        const { events } = runOf(drawn)
        const settled = events
          .filter((event) => /^call\./.test(event.event_type))
          .map((event) => event.meta?.command_id)
        const runs = events.filter((event) => event.event_type === 'loop.done').map((event) => event.node_id)
        return new Set(settled).size === settled.length && new Set(runs).size === runs.length
      }),
      { numRuns: 200 },
    ),
  )
})

function isEntry(event: Event): boolean {
  if (event.event_type === 'loop.started') return true
  if (event.event_type === 'command.issued') return event.current_index === undefined
  return event.event_type === 'step.enter' && event.node_id === event.event_id
}
