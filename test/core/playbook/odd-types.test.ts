import fc from 'fast-check'
import t from 'tap'
import { makePlan } from '../../../core/engine/plan.ts'
import { isNoetlError } from '../../../core/errors.ts'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import { readDocument } from '../../../core/playbook/document.ts'
import { isObject, type Json, type JsonObject } from '../../../core/schemas/json.ts'
import { describeTools } from '../../../core/tools/describe.ts'
import { discoverPlugins } from '../../../core/tools/host.ts'

const manifests = await discoverPlugins({ names: ['@noetl/tool-http', '@noetl/tool-postgres'] })
const { tools } = await describeTools({ manifests })
const toolKinds = tools.map(({ kind }) => kind)

/** Every part of the language once, in each dialect. */
const CURRENT = `
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: n, path: odd, description: d, labels: {a: b}}
executor: {profile: local, spec: {entry_step: start, final_step: last, on_error: fail, max_steps: 500}}
keychain: [{name: k, kind: bearer, token: "{{ workload.t }}"}]
workbook: [{name: w, desc: d, assert: {expects: [a]}, tool: {kind: http, url: "http://x", input: {a: null}}}]
workload: {t: x, list: [1, {a: 2}]}
workflow:
- step: start
  desc: d
  input: {a: "{{ t }}"}
  spec: {max_attempts: 2, policy: {admit: {rules: [{when: "{{ true }}", then: {allow: true}}, {else: {then: {allow: false}}}]}}}
  tool:
  - name: one
    kind: http
    url: "http://x"
    method: GET
    headers: {a: b}
    effect: idempotent
    probe: {kind: http, url: "http://y"}
    set: {ctx.a: "{{ output }}"}
    retry: {max_attempts: 2, initial_delay: 1, backoff: fixed, retry_when: "{{ error }}"}
    spec: {timeout: 3, when: "{{ t }}", policy: {rules: [{when: "{{ output.error }}", then: {do: retry, attempts: 2, delay: 1, backoff: linear, set: {iter.x: 1}}}, {when: "{{ t }}", then: {do: jump, to: two}}, {else: {then: {do: fail, message: m}}}]}}
  - two: {kind: postgres, command: "select 1", params: [1], credential: pg}
  - {name: three, kind: workbook, task: w, args: {b: 1}}
  output: {output_select: [a], store: {kind: auto}}
  set: {ctx.b: "{{ start }}"}
  next: {spec: {mode: exclusive}, arcs: [{step: each, when: "{{ ctx.b }}", set: {ctx.c: 1}, args: {d: 1}}, {step: rows}]}
- step: each
  loop: {in: "{{ list }}", iterator: item, spec: {mode: parallel, max_in_flight: 2, policy: {exec: local}, result: last}}
  tool: {kind: noop, result: "{{ item }}"}
- step: rows
  loop: {iterator: row, cursor: {kind: postgres, auth: pg, claim: "select 1"}, spec: {mode: cursor, frame: {max_rows: 1, row_concurrency: 1, max_seconds: 3}}}
  tool: {kind: noop}
  react: {exit: [{when: "{{ t }}", set: {e: 1}, collect: [{from: result, into: all, mode: append}], calls: [{step: last}]}]}
- {step: last, tool: {kind: noop}}
`
const SEED = `
metadata: {path: odd-seed}
dialect: seed
workload: {list: [1]}
workflow:
- step: start
  tool: {kind: http, url: "http://x", sink: {tool: {kind: postgres, auth: pg, table: t, mode: upsert, key: [id], args: {a: 1}}}}
  args: {a: "{{ workload.list }}"}
  vars: {v: "{{ result }}"}
  sink: {backend: postgres, table: a.b, from: result, connection: pg, mode: append}
  case:
  - when: "{{ event.name == 'call.error' }}"
    then: {retry: {max_attempts: 3, delay: 1, backoff: exponential}}
  - when: "{{ event.name == 'step.exit' }}"
    then: [{set: {s: 1}}, {collect: {from: result, into: all, mode: extend}}, {call: {step: each, args: {b: 1}}}, {result: {from: "{{ result }}"}}, {sink: {tool: postgres, table: t}}, {next: {step: each, args: {b: 2}}}]
  - else: {fail: {message: no}}
  next: [{when: "{{ a }}", then: [each]}, {else: [{step: each}]}]
- step: each
  tool: {kind: iterator, collection: "{{ workload.list }}", element: item, mode: async, task: {kind: http, url: "http://x"}}
  next: end
- step: end
`
const DOCUMENTS = [CURRENT, SEED].map((text) => readDocument(text).root)

/** What has no text and no number of its own, and what only looks like something else. */
const ODD: Json[] = [
  { toString: { valueOf: 1 }, valueOf: 2, toJSON: 3, length: 4 },
  [{ toString: 1 }],
  { toString: 1 },
  [],
  {},
  null,
  true,
  -1.5,
  '',
  '{{',
]

function placesIn(value: Json, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [path]
  const inner = Object.entries(value).flatMap(([key, item]) =>
    placesIn(item, [...path, Array.isArray(value) ? Number(key) : key]),
  )
  return path.length === 0 ? inner : [path, ...inner]
}

function replaced(document: JsonObject, path: readonly (string | number)[], value: Json): JsonObject {
  const root = structuredClone(document)
  let parent: Json = root
  for (const part of path.slice(0, -1)) parent = (parent as { [key: string]: Json })[part]!
  ;(parent as { [key: string]: Json })[path.at(-1)!] = value
  return root
}

/** Compiles as a registration and a validation do; a refusal must be one of a playbook, with faults. */
function compiles(root: JsonObject, ways = [true, false]): void {
  const text = JSON.stringify(root)
  for (const lenient of ways) {
    try {
      const { playbook } = compilePlaybook(text, { toolKinds, tools, lenient })
      makePlan(playbook, { catalogId: '1', path: playbook.path, version: 1 })
    } catch (error) {
      if (!isNoetlError(error) || !error.code.startsWith('NOETL_ERR_PLAYBOOK_')) {
        throw new Error(`${(error as Error).message}\n${text}`, { cause: error })
      }
      if (
        !isObject(error.details) ||
        !Array.isArray(error.details.faults) ||
        error.details.faults.length === 0
      )
        throw new Error(`a refusal without faults\n${text}`)
    }
  }
}

t.test('odd types: what is changed below has no fault itself', async (t) => {
  for (const text of [CURRENT, SEED])
    t.ok(compilePlaybook(text, { toolKinds, tools, lenient: true }).playbook)
})

for (const [i, document] of DOCUMENTS.entries()) {
  t.test(
    `odd types: at every place of playbook ${i} what has no text is taken or told as a fault`,
    async (t) => {
      const failed = new Map<string, string>()
      for (const path of placesIn(document)) {
        for (const value of ODD.slice(0, 2)) {
          try {
            compiles(replaced(document, path, value), [false])
          } catch (error) {
            failed.set(
              `${path.join('.')} = ${JSON.stringify(value)}`,
              String((error as Error).message).split('\n')[0]!,
            )
          }
        }
      }
      t.same(Object.fromEntries(failed), {})
    },
  )
}

t.test('odd types: any value at any places is taken or told as a fault', async () => {
  const change = fc.record({
    at: fc.nat(),
    value: fc.oneof(fc.constantFrom(...ODD), fc.jsonValue() as fc.Arbitrary<Json>),
  })
  fc.assert(
    fc.property(
      fc.constantFrom(...DOCUMENTS),
      fc.array(change, { minLength: 1, maxLength: 4 }),
      (document, changes) => {
        let root = document
        for (const { at, value } of changes) {
          const places = placesIn(root)
          root = replaced(root, places[at % places.length]!, structuredClone(value))
        }
        compiles(root)
      },
    ),
    { numRuns: 100 },
  )
})
