/** A playbook of the load, what it must come to, and the effects that it must have. */
export interface Case {
  path: string
  content: string
  result(n: number): unknown
  /** Keys that the ledger must hold for one execution. */
  effects(executionId: string): string[]
}

const note = (key: string, query = '') =>
  `{name: note, kind: http, method: POST, url: "{{ ledger }}/${key}${query}"}`
const python = (code: string, input: string) =>
  `{name: work, kind: python, input: {${input}}, code: "import time; time.sleep(0.1); result = ${code}"}`
const flaky = (path: string, fails: number, delay: number): Case => ({
  path,
  content: `metadata: {path: ${path}}
workload: {ledger: "", n: 0}
workflow:
- step: start
  tool:
    kind: http
    method: POST
    url: "{{ ledger }}/{{ execution_id }}.start?n={{ n }}&fails=${fails}"
    spec:
      policy:
        rules:
        - {when: "{{ output.status == 'error' }}", then: {do: retry, attempts: 8, delay: ${delay}}}
  next: {arcs: [{step: end}]}
- {step: end, tool: {kind: noop, result: "{{ start.data.n }}"}}`,
  result: (n) => n + 1,
  effects: (id) => [`${id}.start`],
})
const LOOP = 8

export const CHILD = `metadata: {path: faults/child}
workload: {ledger: "", n: 0}
workflow:
- step: start
  tool:
  - ${note('{{ parent_execution_id }}.child')}
  - ${python("{'n': n * 2}", 'n: "{{ n }}"')}
  next: {arcs: [{step: last}]}
- {step: last, tool: {kind: noop, result: {n: "{{ start.work.n + 1 }}"}}}`

export const CASES: Case[] = [
  {
    path: 'faults/chain',
    content: `metadata: {path: faults/chain}
workload: {ledger: "", n: 0}
workflow:
- {step: start, set: {ctx.n: "{{ n }}"}, next: {arcs: [{step: a}]}}
${['a', 'b', 'c']
  .map(
    (step, i, all) => `- step: ${step}
  tool:
  - ${note(`{{ execution_id }}.${step}`)}
  - ${python("{'n': n + 1}", 'n: "{{ ctx.n }}"')}
  set: {ctx.n: "{{ ${step}.work.n }}"}
  next: {arcs: [{step: ${all[i + 1] ?? 'end'}}]}`,
  )
  .join('\n')}
- {step: end, tool: {kind: noop, result: "{{ ctx.n }}"}}`,
    result: (n) => n + 3,
    effects: (id) => ['a', 'b', 'c'].map((step) => `${id}.${step}`),
  },
  {
    path: 'faults/loop',
    content: `metadata: {path: faults/loop}
workload: {ledger: "", n: 0}
workflow:
- {step: start, next: {spec: {mode: inclusive}, arcs: [{step: each}, {step: side}]}}
- step: each
  loop: {in: ${LOOP}, iterator: i, spec: {mode: parallel, max_in_flight: 4}}
  tool:
  - ${note('{{ execution_id }}.each-{{ i }}')}
  - {name: work, kind: noop, result: "{{ i * i + n }}"}
  set: {ctx.sum: "{{ each.results | map(attribute='work') | sum }}"}
  next: {arcs: [{step: end}]}
- step: side
  tool: {kind: http, method: POST, url: "{{ ledger }}/{{ execution_id }}.side?n={{ n }}"}
  next: {arcs: [{step: end}]}
- {step: end, tool: {kind: noop, result: ["{{ ctx.sum }}", "{{ side.data.n }}"]}}`,
    result: (n) => [140 + LOOP * n, n + 1],
    effects: (id) => [...Array.from({ length: LOOP }, (_, i) => `${id}.each-${i}`), `${id}.side`],
  },
  {
    path: 'faults/sub',
    content: `metadata: {path: faults/sub}
workload: {ledger: "", n: 0}
workflow:
- step: start
  tool: {kind: playbook, path: faults/child, input: {ledger: "{{ ledger }}", n: "{{ n }}"}, return_step: last}
  next: {arcs: [{step: end}]}
- {step: end, tool: {kind: noop, result: "{{ start.n }}"}}`,
    result: (n) => n * 2 + 1,
    effects: (id) => [`${id}.child`],
  },
  {
    path: 'faults/http',
    content: `metadata: {path: faults/http}
workload: {ledger: "", n: 0}
workflow:
- {step: start, set: {ctx.n: "{{ n }}"}, next: {arcs: [{step: a}]}}
${['a', 'b', 'c']
  .map(
    (step, i, all) => `- step: ${step}
  tool: {kind: http, method: POST, url: "{{ ledger }}/{{ execution_id }}.${step}?n={{ ctx.n }}"}
  set: {ctx.n: "{{ ${step}.data.n }}"}
  next: {arcs: [{step: ${all[i + 1] ?? 'end'}}]}`,
  )
  .join('\n')}
- {step: end, tool: {kind: noop, result: "{{ ctx.n }}"}}`,
    result: (n) => n + 3,
    effects: (id) => ['a', 'b', 'c'].map((step) => `${id}.${step}`),
  },
  // Waits out its delays in the slot; the other hands its command back meanwhile.
  flaky('faults/retry', 2, 0.2),
  flaky('faults/later', 1, 5),
]
