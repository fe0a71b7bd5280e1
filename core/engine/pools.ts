import type { Plan, StepPlan } from './plan.ts'

/** One rule of the configuration: commands for which all that it names holds go to a pool of workers. */
export interface PoolRule {
  /** Tool kind, of any tool of the step. */
  kind?: string
  /** Name of the step. */
  step?: string
  /** What the playbook's path begins with. */
  path?: string
  pool: string
}

/** Pool of a step's commands: of the first rule that holds, else the one without a name. */
export function poolsBy(rules: readonly PoolRule[]): (plan: Plan, step: StepPlan) => string {
  if (rules.length === 0) return () => ''
  const known = new WeakMap<StepPlan, string>()
  return (plan, planned) => {
    const there = known.get(planned)
    if (there !== undefined) return there
    const pool = rules.find((rule) => holds(rule, plan, planned))?.pool ?? ''
    known.set(planned, pool)
    return pool
  }
}

function holds(
  { kind, step, path }: PoolRule,
  plan: Plan,
  { step: { name, tasks, loop } }: StepPlan,
): boolean {
  const kinds = [...tasks.map((task) => task.kind), ...(loop?.cursor === undefined ? [] : [loop.cursor.kind])]
  return (
    (kind === undefined || kinds.includes(kind)) &&
    (step === undefined || name === step) &&
    (path === undefined || plan.path.startsWith(path))
  )
}
