import { compileCondition, compileTemplate, type Scope, StepResult } from '../../core/template/template.ts'

/** Prints what templates cost: medians of eleven rounds, in microseconds. */
export function benchTemplates(): void {
  const small = {
    ctx: { n: 3, page: { next: 'abc' } },
    output: { status: 'error', error: { kind: 'rate_limit' }, http: { status: 429 } },
    workload: { tenant: 'acme' },
  }
  const rows = Array.from({ length: 10_000 }, (_, id) => ({ id, name: `row ${id}`, amount: id * 1.5 }))
  const large = { ...small, fetch: new StepResult({ rows }) }
  const path = compileTemplate('{{ ctx.n }}')
  const rule = compileCondition(
    "{{ output.status == 'error' and output.http.status in [429, 500, 503] and ctx.n < 5 }}",
  )
  const show = (what: string, act: () => unknown) =>
    console.log(`${what.padEnd(58)} ${median(act).toFixed(2)} µs`)
  show('a path', () => path.render(scopeOf(small)))
  show('a rule on a small context', () => rule.test(scopeOf(small)))
  show('the same beside a step result of 10,000 rows', () => rule.test(scopeOf(large)))
}

function scopeOf(names: Readonly<Record<string, unknown>>): Scope {
  return { lookup: (name) => names[name] }
}

function median(act: () => unknown): number {
  const times = Array.from({ length: 11 }, () => {
    const begun = performance.now()
    for (let n = 0; n < 20_000; n++) act()
    return ((performance.now() - begun) * 1000) / 20_000
  }).sort((a, b) => a - b)
  return times[5]!
}
