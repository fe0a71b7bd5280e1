import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { parse } from 'yaml'
import { isNoetlError } from '../../../core/errors.ts'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import { printPlaybook } from '../../../core/playbook/print.ts'
import type { Json, JsonObject } from '../../../core/schemas/json.ts'
import type { Arc, Loop, Playbook, Reaction, Rule, Task } from '../../../core/schemas/playbook.ts'

const FIXTURES = fileURLToPath(new URL('../../fixtures', import.meta.url))

/** All but the lines, which are of the text. */
function withoutLines(playbook: Playbook): object {
  return { ...playbook, steps: playbook.steps.map(({ line: _line, ...step }) => step) }
}

/** Generated records have no prototype; playbooks are plain objects. */
function plain<T>(value: T): T {
  return structuredClone(value)
}

function again(playbook: Playbook): Playbook {
  return compilePlaybook(printPlaybook(playbook)).playbook
}

/** Keys as YAML and templates may have them; `__proto__` reaches nothing and is dropped when read. */
const key = fc
  .oneof(
    fc.constantFrom('a', 'ctx.n', '<<', '', '1', 'null', 'a: b', '#', 'when', '{{ x }}', '- '),
    fc.string({ maxLength: 6 }),
  )
  .filter((name) => name !== '__proto__')
const text = fc.oneof(
  fc.constantFrom(
    '{{ result.items }}',
    '{{ error is defined and error.status == 500 }}',
    'true',
    '1e3',
    '~',
    'a\n  b\n',
    '  x',
    'x  \n\n',
    '- a',
    "'",
    '{% if x %}y{% endif %}',
    '\u2028',
    '\0',
  ),
  fc.string({ unit: 'binary', maxLength: 12 }),
)
const json: fc.Arbitrary<Json> = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 3 },
    text,
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number)),
    fc.constantFrom(null, true, false, 1e20, 9_007_199_254_740_991),
    fc.array(tie('json'), { maxLength: 3 }),
    fc.dictionary(key, tie('json'), { maxKeys: 3, noNullPrototype: true }),
  ),
})).json
const object: fc.Arbitrary<JsonObject> = fc.dictionary(key, json, { maxKeys: 3, noNullPrototype: true })
const name = fc.oneof(
  fc.constantFrom('start', 'a', 'b:done', '12', 'true', 'x y'),
  fc.string({ minLength: 1, maxLength: 8 }).filter((word) => word.trim() !== '' && word !== '__proto__'),
)
const when = fc.option(
  json.filter((value) => value !== null),
  { nil: undefined },
)

/** An object without the keys whose value is undefined: an absent key is another thing than one without a value. */
function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T
}

const rule: fc.Arbitrary<Rule> = fc
  .record({
    when,
    do: fc.constantFrom('continue', 'retry', 'fail', 'break'),
    attempts: fc.oneof(fc.constant(3), json),
    delay: fc.oneof(fc.constant(1), json),
    backoff: fc.constantFrom('none', 'fixed', 'linear', 'exponential'),
    set: object,
    message: fc.option(json, { nil: undefined }),
    result: fc.option(json, { nil: undefined }),
  })
  .map((fields) => defined(fields) as Rule)

const OWN_KEYS = ['url', 'code', 'command', 'auth', 'timeout', 'when', 'rows', 'path', 'a b', '<<']
const plainTask = fc
  .record({
    kind: fc.constantFrom('noop', 'http', 'postgres', 'duckdb', 'python', 'transfer'),
    config: fc.dictionary(fc.constantFrom(...OWN_KEYS), json, { maxKeys: 3, noNullPrototype: true }),
    input: object,
    set: object,
    rules: fc.array(rule, { maxLength: 2 }),
    when: fc.option(json, { nil: undefined }),
    rows: fc.constantFrom(undefined, true as const),
    effect: fc.constantFrom(undefined, 'pure' as const, 'unsafe' as const),
  })
  .map((fields): Omit<Task, 'label'> => defined(fields) as Omit<Task, 'label'>)
const task = fc
  .record({ task: plainTask, probe: fc.option(plainTask, { nil: undefined }) })
  .map(({ task, probe }) => ({
    ...task,
    ...(probe === undefined ? {} : { probe: { ...probe, label: 'probe' } }),
  }))

/** Tasks as the compiler gives them: one with others beside it, or a list. */
const tasks = fc
  .record({
    pipeline: fc.boolean(),
    tasks: fc.array(fc.tuple(task, fc.boolean(), fc.boolean()), { maxLength: 4 }),
    main: fc.nat(3),
    routes: fc.boolean(),
  })
  .map(({ pipeline, tasks, main, routes }) => ({
    pipeline,
    tasks: tasks.map(([task, named, beside], i): Task => {
      const aside = pipeline ? beside : routes || i !== main % tasks.length
      const label = aside && !pipeline ? `aside_${i}` : named ? `label ${i}` : `task_${pipeline ? i : 0}`
      return { ...task, label, ...(aside ? { aside } : {}) }
    }),
  }))

const loop: fc.Arbitrary<Loop> = fc.oneof(
  fc.record({
    in: json,
    iterator: name,
    mode: fc.constant('sequential' as const),
    maxInFlight: fc.constant(1),
  }),
  fc.record({
    in: json,
    iterator: name,
    mode: fc.constant('parallel' as const),
    maxInFlight: fc.integer({ min: 1, max: 10_000 }),
  }),
  fc.record({
    in: fc.constant(null),
    iterator: name,
    mode: fc.constant('parallel' as const),
    maxInFlight: fc.integer({ min: 1, max: 100 }),
    cursor: fc
      .record({
        kind: fc.constantFrom('postgres', 'duckdb'),
        config: fc.record({ command: fc.constantFrom('SELECT 1', 'UPDATE x\nRETURNING *'), auth: json }),
        maxRows: fc.integer({ min: 1, max: 10_000 }),
        rowConcurrency: fc.integer({ min: 1, max: 100 }),
        maxSeconds: fc.option(fc.integer({ min: 1, max: 86_400 }), { nil: undefined }),
      })
      .map(defined),
  }) as fc.Arbitrary<Loop>,
)

/** A playbook whose steps lead to each other, with all that a step may have. */
const playbooks: fc.Arbitrary<Playbook> = fc
  .uniqueArray(name, { minLength: 1, maxLength: 4 })
  .map((names) => ['start', ...names.filter((other) => other !== 'start')])
  .chain((names) => {
    const step = fc.constantFrom(...names)
    const target = fc.record({ step, args: object })
    const reaction: fc.Arbitrary<Reaction> = fc
      .record({
        when,
        set: object,
        collect: fc.array(
          fc.record({ into: name, from: json, mode: fc.constantFrom('append' as const, 'extend' as const) }),
          { maxLength: 2 },
        ),
        calls: fc.array(target, { maxLength: 2 }),
        next: fc.option(fc.array(target, { maxLength: 2 })),
      })
      .map((fields) => defined(fields) as Reaction)
    const reactions = fc.array(reaction, { maxLength: 2 })
    const arc = fc.record({ step, when, set: object, args: object })
    const arcs = fc
      .array(
        fc.oneof(
          arc.map((one) => [one]),
          fc.array(arc, { minLength: 1, maxLength: 3 }),
        ),
        { maxLength: 3 },
      )
      .map((lists) => {
        let group = 0
        return lists.flatMap((list): Arc[] => {
          const grouped = list.length > 1 ? { group: group++ } : {}
          return list.map((one) => defined({ ...one, ...grouped }) as Arc)
        })
      })
    const steps = names.map((stepName) =>
      fc
        .record({
          name: fc.constant(stepName),
          description: fc.option(text, { nil: undefined }),
          line: fc.constant(1),
          body: tasks,
          input: object,
          loop: fc.option(loop, { nil: undefined }),
          set: object,
          next: fc.record({ mode: fc.constantFrom('exclusive' as const, 'inclusive' as const), arcs }),
          onEnter: reactions,
          onCall: reactions,
          onExit: reactions,
          loopResult: fc.constantFrom('all' as const, 'last' as const),
          admit: fc.array(
            fc.record({ when, allow: fc.boolean() }).map((fields) => defined(fields)),
            { maxLength: 2 },
          ),
          maxAttempts: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined }),
          outputSelect: fc.array(text, { maxLength: 2 }),
          outputStore: fc.option(fc.constantFrom('kv', 'disk', 'db'), { nil: undefined }),
        })
        .map(({ body, loopResult, ...fields }) =>
          defined({ ...fields, ...body, loopResult: fields.loop === undefined ? 'all' : loopResult }),
        ),
    )
    return fc
      .record({
        path: name,
        name,
        description: fc.option(text, { nil: undefined }),
        dialect: fc.constantFrom('current' as const, 'seed' as const),
        workload: object,
        steps: fc.tuple(...steps),
        entry: step,
        finalStep: fc.option(step, { nil: undefined }),
        maxSteps: fc.option(fc.integer({ min: 1, max: 1_000_000_000 }), { nil: undefined }),
        onError: fc.constantFrom('fail' as const, 'continue' as const, 'park' as const),
        keychain: fc.uniqueArray(
          fc.record({
            name,
            kind: text,
            config: object.map(({ name: _name, kind: _kind, ...config }) => config),
          }),
          { maxLength: 2, selector: (entry) => entry.name },
        ),
      })
      .map((fields) => defined(fields) as unknown as Playbook)
  })

t.test('print: any playbook in the internal form, printed and compiled, is the same', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(playbooks.map(plain), (playbook) =>
        isDeepStrictEqual(withoutLines(again(playbook)), withoutLines(playbook)),
      ),
      { numRuns: 200 },
    ),
  )
})

/** Playbooks of a fixture: it is one, or holds cases with one each. */
function playbooksIn(source: string): [string, string][] {
  const document: unknown = parse(source)
  if (!Array.isArray(document)) return [['', source]]
  return document.flatMap(({ name, playbook }: { name: string; playbook?: unknown }): [string, string][] => {
    if (typeof playbook !== 'string') return []
    return [[`, ${name}`, /^metadata:/m.test(playbook) ? playbook : `metadata: {path: p}\n${playbook}`]]
  })
}

function compiled(source: string): Playbook | undefined {
  try {
    return compilePlaybook(source).playbook
  } catch (error) {
    if (isNoetlError(error)) return undefined
    throw error
  }
}

for (const file of readdirSync(FIXTURES, { recursive: true, encoding: 'utf8' }).sort()) {
  if (!/\.ya?ml$/.test(file)) continue
  t.test(`print: ${file}, compiled, printed and compiled again, is the same`, async (t) => {
    for (const [name, source] of playbooksIn(readFileSync(join(FIXTURES, file), 'utf8'))) {
      const playbook = compiled(source)
      // Some fixtures are there to be refused.
      if (playbook !== undefined)
        t.strictSame(withoutLines(again(playbook)), withoutLines(playbook), `${file}${name}`)
    }
  })
}
