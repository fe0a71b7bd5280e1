import type { Json } from '../schemas/json.ts'
import type { Step, Task } from '../schemas/playbook.ts'
import { allOf } from './conditions.ts'
import type { Clause } from './seed-case.ts'
import type { Mark } from './seed-rules.ts'

/** The result is bound to the tool's label; one that is no name is still what came last. */
export function nameOf(task: Task | undefined): string {
  return task !== undefined && /^[A-Za-z_]\w*$/.test(task.label) ? task.label : '_prev'
}

/** A tool for a step without one, whose result is the one that led here. */
export function passOn(): Task {
  return { label: 'task_0', kind: 'noop', config: { result: '{{ result }}' }, input: {}, set: {}, rules: [] }
}

/** The failure that sinks had to be written after. */
export function raiseAgain(mark: Mark): Omit<Task, 'label'> {
  return failing(`{{ ${mark.value}.raise.message }}`, `{{ ${mark.value}.raise is mapping }}`)
}

export function failTask(clause: Clause, when: Json | undefined, step: string): Omit<Task, 'label'> {
  return failing(clause.fail?.message ?? `a case of step "${step}" says fail`, when)
}

/** A tool that does nothing, and a rule that fails it. */
function failing(message: Json, when: Json | undefined): Omit<Task, 'label'> {
  return {
    kind: 'noop',
    config: {},
    input: {},
    set: {},
    rules: [{ do: 'fail', message, attempts: 3, delay: 1, backoff: 'none', set: {} }],
    ...(when === undefined ? {} : { when }),
    aside: true,
  }
}

/** Adds tasks around those that are there, each under a name of its own. */
export function addTasks(
  step: Step,
  {
    before,
    after,
    when,
  }: { before: Omit<Task, 'label'>[]; after: Omit<Task, 'label'>[]; when: Json | undefined },
): void {
  const taken = new Set(step.tasks.map(({ label }) => label))
  let n = 0
  const named = (task: Omit<Task, 'label'>): Task => {
    while (taken.has(`aside_${n}`)) n += 1
    return { ...task, label: `aside_${n++}` }
  }
  const staying = (task: Task): Task => {
    const condition = allOf(when, task.when)
    return condition === undefined ? task : { ...task, when: condition }
  }
  step.tasks = [...before.map(named), ...step.tasks.map(staying), ...after.map(named).map(staying)]
}
