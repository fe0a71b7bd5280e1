import type { Json, JsonObject } from '../../core/schemas/json.ts'
import type { Random } from './random.ts'

/** Playbooks of one run: one that is started, and those that it may call. */
export interface Drawn {
  /** By path; the one to start is `main`. As JSON, which is YAML. */
  texts: Record<string, string>
  /** What it comes to does not turn on the order in which its parts end. */
  settled: boolean
}

type Step = JsonObject & { step: string }

/** Draws a small playbook: a graph of steps of all kinds, with joins, ways back, loops and calls of others. */
export function drawPlaybooks(random: Random): Drawn {
  const texts: Record<string, string> = {}
  const traits = { settled: true }
  const children = random.chance(0.4) ? random.int(1, 2) : 0
  const kids: string[] = []
  for (let n = children; n >= 1; n--) {
    const path = `kid${n}`
    texts[path] = textOf(path, drawSteps(random, { size: random.int(1, 3), kids: [...kids], traits }))
    kids.push(path)
  }
  const onError = random.weighted([
    [7, 'fail'],
    [1, 'continue'],
    [2, 'park'],
  ] as const)
  // The last step to end says how such a run went.
  if (onError === 'continue') traits.settled = false
  const steps = drawSteps(random, { size: random.int(1, 6), kids, traits, parks: onError === 'park' })
  const final = random.chance(0.15)
  if (final) steps.push({ step: 'last', tool: { kind: 'work', ms: 5, value: 'last' } })
  texts.main = textOf('main', steps, {
    executor: { spec: { on_error: onError, ...(final ? { final_step: 'last' } : {}) } },
  })
  return { texts, settled: traits.settled }
}

function textOf(path: string, workflow: Step[], more: JsonObject = {}): string {
  return JSON.stringify({ metadata: { path }, workload: { items: [1, 2, 3] }, workflow, ...more })
}

function drawSteps(
  random: Random,
  about: { size: number; kids: string[]; traits: { settled: boolean }; parks?: boolean },
): Step[] {
  const { size, kids, traits, parks = false } = about
  const names = Array.from({ length: size }, (_, i) => (i === 0 ? 'start' : `s${i}`))
  const back = random.chance(0.25)
  // One step after the other: then steps may read of each other whatever there is.
  const serial = random.chance(0.4)
  let inclusive = false
  const steps = names.map((step, i): Step => {
    const body = drawBody(random, step, { kids, parks, traits, names: serial ? names : [] })
    const mode = !serial && random.chance(0.7) ? 'inclusive' : 'exclusive'
    const later = names.slice(i + 1)
    const targets = new Set(later.length === 0 ? [] : [random.pick(later)])
    while (later.length > targets.size && random.chance(0.4)) targets.add(random.pick(later))
    const arcs: JsonObject[] = [...targets].map((target) => ({
      step: target,
      ...(random.chance(0.2) ? { when: `{{ ctx.n_${step} >= 1 }}` } : {}),
      ...(random.chance(0.2) ? { args: { from: step } } : {}),
    }))
    if (back && random.chance(0.5)) {
      arcs.unshift({
        step: random.pick(names.slice(0, i + 1)),
        when: `{{ error is undefined and ctx.n_${step} < 3 }}`,
      })
    }
    if (body.round !== undefined) {
      arcs.unshift({ step, when: `{{ ctx.n_${step} < ${body.round} }}` })
      return { step, set: counted(step), next: { arcs } }
    }
    if (body.catches && later.length > 0) {
      arcs.unshift({ step: random.pick(later), when: "{{ output.status == 'error' }}" })
    }
    if (mode === 'inclusive' && arcs.length > 1) inclusive = true
    return {
      step,
      ...body.fields,
      set: counted(step),
      ...(arcs.length === 0 ? {} : { next: { spec: { mode }, arcs } }),
    }
  })
  // Where branches meet on a way back, it is their timing that says how often a step runs.
  if (back && inclusive) traits.settled = false
  return steps
}

function counted(step: string): JsonObject {
  return { [`ctx.n_${step}`]: `{{ (ctx.n_${step} | default(0)) + 1 }}` }
}

interface Body {
  fields: JsonObject
  /** It fails for good, and an arc should catch that. */
  catches: boolean
  /** A step without a tool that leads back to itself so often: more than one turn goes through. */
  round?: number
}

function drawBody(
  random: Random,
  step: string,
  about: {
    kids: string[]
    parks: boolean
    traits: { settled: boolean }
    /** Steps that it may read of. */
    names: string[]
  },
): Body {
  const { kids, parks, traits, names } = about
  const ms = random.weighted([
    [3, 0],
    [6, random.int(1, 400)],
    [2, random.int(400, 4000)],
    [1, random.int(4000, 20_000)],
  ])
  const other = names.length === 0 ? 'start' : random.pick(names)
  const value = random.weighted<Json>([
    [1, 1],
    [1, 'text'],
    [1, { a: [1, 2] }],
    [1, `{{ ctx.n_${other} | default(0) }}`],
    [
      names.length === 0 ? 0 : 4,
      `{{ (${other} | default('') | string | length) + (ctx.n_${other} | default(0)) }}`,
    ],
  ])
  const work = (more: JsonObject = {}): JsonObject => ({ kind: 'work', ms, value, ...more })
  const plain = (tool: JsonObject | JsonObject[]): Body => ({ fields: { tool }, catches: false })
  const retry = (attempts: number) => ({
    policy: {
      rules: [
        {
          when: "{{ output.status == 'error' }}",
          // biome-ignore lint/suspicious/noThenProperty: a word of the language
          then: { do: 'retry', attempts, delay: random.pick([0.05, 1, 6]) },
        },
      ],
    },
  })
  const loop = (within: Json): JsonObject => ({
    in: within,
    iterator: 'item',
    spec: { mode: random.pick(['parallel', 'parallel', 'sequential']), max_in_flight: random.int(1, 3) },
  })
  const call = (): JsonObject => ({
    kind: 'playbook',
    path: random.pick(kids),
    input: { n: 1 },
    return_step: 'start',
    ...(random.chance(0.1) ? late() : {}),
  })
  /** How long it waits for another; what then comes of it is a matter of timing. */
  const late = () => {
    traits.settled = false
    return { timeout: random.int(2, 30) }
  }
  return random.weighted<() => Body>([
    [15, () => ({ fields: {}, catches: false })],
    [35, () => plain(work())],
    [4, () => plain({ kind: 'noop', result: value })],
    [2, () => ({ fields: {}, catches: false, round: random.int(150, 450) })],
    [
      3,
      () => {
        // A frame whose worker dies takes its rows with it.
        traits.settled = false
        const spec = {
          mode: 'cursor',
          max_in_flight: random.int(1, 2),
          frame: { max_rows: random.int(1, 3) },
        }
        const rows = { cursor: { kind: 'duckdb', claim: 'SELECT 1' }, iterator: 'row', spec }
        return { fields: { loop: rows, tool: work({ value: '{{ row.id }}' }) }, catches: false }
      },
    ],
    [
      3,
      () => ({
        fields: {
          spec: {
            policy: {
              admit: {
                rules: [
                  { when: `{{ items | length > ${random.pick([2, 5])} }}` },
                  { else: { allow: false } },
                ],
              },
            },
          },
          tool: work(),
        },
        catches: false,
      }),
    ],
    [4, () => plain(work({ size: 70_000 }))],
    [8, () => plain(work({ fails: random.int(1, 2), spec: retry(3) }))],
    [3, () => ({ fields: { tool: work({ fails: 99, spec: retry(2) }) }, catches: true })],
    [4, () => (parks ? plain(work({ fails: 1 })) : { fields: { tool: work({ fails: 99 }) }, catches: true })],
    [2, () => failing(traits, work({ fails: 99 }))],
    [5, () => plain({ kind: 'once', ms, value })],
    [
      5,
      () =>
        plain([
          { name: 'one', ...work() },
          { name: 'two', ...work({ value: '{{ one.value }}' }) },
        ]),
    ],
    [
      10,
      () => ({ fields: { loop: loop('{{ items }}'), tool: work({ value: '{{ item }}' }) }, catches: false }),
    ],
    [3, () => ({ fields: { loop: loop([]), tool: work() }, catches: false })],
    [
      3,
      () => ({
        fields: {
          loop: loop([1, 2, 3, 4, 5, 6]),
          tool: work({ value: `{{ item }} of ${step}`, size: 9000 }),
        },
        catches: false,
      }),
    ],
    [kids.length > 0 ? 18 : 0, () => plain(call())],
    [
      kids.length > 0 ? 6 : 0,
      () => ({ fields: { loop: loop('{{ items }}'), tool: call() }, catches: false }),
    ],
    [
      kids.length > 0 ? 3 : 0,
      () =>
        plain([
          { name: 'one', ...call() },
          { name: 'two', ...work() },
          { name: 'three', ...call() },
        ]),
    ],
  ])()
}

/** Nothing catches it: what else runs at that time ends, and how far that is turns on timing. */
function failing(traits: { settled: boolean }, tool: JsonObject): Body {
  traits.settled = false
  return { fields: { tool }, catches: false }
}
