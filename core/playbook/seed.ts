import type { Json, JsonObject } from '../schemas/json.ts'
import type { Step } from '../schemas/playbook.ts'
import { allOf, not, renameInCondition } from './conditions.ts'
import type { Faults, Path } from './faults.ts'
import { type Clause, readCase } from './seed-case.ts'
import {
  doneReaction,
  enteredBy,
  enteredReactions,
  enterReactions,
  type Placed,
  reactionsOf,
  stays,
  trimmed,
} from './seed-reactions.ts'
import { type Mark, markOf, type Ruled, ruledClauses, rulesOf } from './seed-rules.ts'
import { readSink } from './seed-sink.ts'
import { addTasks, failTask, nameOf, passOn, raiseAgain } from './seed-tasks.ts'

/*
 * The first dialect, told in the words of the internal form. `case` of a step becomes
 *   - rules of its tool, for what must happen before the call is told: retry, fail, result;
 *   - tasks aside of its tool, for sinks;
 *   - reactions, for the rest: set, collect, call, next;
 *   - a step of its own between this one and the next, for what is done at the end of a loop beside going on.
 */

export interface SeedAbout {
  toolKinds: readonly string[] | undefined
  /** Names that paths without braces may begin with. */
  known: ReadonlySet<string>
  faults: Faults
}

/** Adds what `case` and `sink` of a step say to it; gives the steps that come after it beside. */
export function applySeed(step: Step, written: JsonObject, path: Path, about: SeedAbout): Step[] {
  const { faults } = about
  const looped = step.loop !== undefined
  const clauses = readCase(written.case, [...path, 'case'], { ...about, looped })
  const ownSinks = sinksAt(written.sink, [...path, 'sink'])
  if (clauses.length === 0 && ownSinks.length === 0) return []
  warnOfMisplaced(clauses, faults)
  const ruled = ruledClauses(clauses)
  const mark = markOf('case', step.name)
  const entered = markOf('enter', step.name)
  const rules = rulesOf(ruled, mark, step.name, faults)
  const enterTasks = clauses.some(
    ({ moment, sinks, fail }) => moment === 'enter' && (sinks.length > 0 || fail),
  )
  if (step.tasks.length === 0) {
    const needsTool =
      rules.length > 0 ||
      ownSinks.length > 0 ||
      enterTasks ||
      ruled.some(({ clause }) => clause.sinks.length > 0)
    if (needsTool) step.tasks.push(passOn())
  }
  const main = step.tasks.findLast(({ aside }) => aside === undefined)
  main?.rules.push(...rules)
  const sinkAbout = { ...about, step: step.name, result: nameOf(main) }
  const sinks = (clause: Clause, when: Json | undefined) =>
    clause.sinks.flatMap(({ value, path: at }) => readSink(value, at, when, sinkAbout) ?? [])
  const succeeded = ruled.some(({ raises }) => raises)
    ? not(`{{ ${mark.value}.raise is mapping }}`)
    : undefined
  const after = [
    ...ownSinks.flatMap(({ value, path: at }) => readSink(value, at, succeeded, sinkAbout) ?? []),
    ...ruled.flatMap((one) => sinks(one.clause, sinkCondition(one, ruled, mark, sinkAbout))),
    ...(ruled.some(({ raises }) => raises) ? [raiseAgain(mark)] : []),
  ]
  const before = clauses.flatMap((clause) => {
    if (clause.moment !== 'enter') return []
    const when = enteredBy(clause, clauses, entered)
    const failing = clause.fail === undefined ? [] : [failTask(clause, when, step.name)]
    return [...sinks(clause, when), ...failing]
  })
  addTasks(step, { before, after, when: stays(clauses, entered) })

  const extra: Step[] = []
  const done = clauses
    .filter(({ moment }) => moment === 'done')
    .map((clause): Placed => {
      const between = stepBetween(step, clause, extra.length, about)
      if (between !== undefined) extra.push(between)
      return {
        index: clauses.indexOf(clause),
        reaction: doneReaction(clause, between?.name, handedOn(clause, step)),
      }
    })
  const { onCall, onExit } = reactionsOf(ruled, done, { decided: mark, failed: markOf('failed', step.name) })
  step.onEnter.push(...enterReactions(clauses, entered))
  step.onCall.push(...trimmed([...enteredReactions(clauses, entered), ...onCall]))
  step.onExit.push(...trimmed(onExit))
  return extra
}

function sinksAt(value: Json | undefined, path: Path): { value: Json; path: Path }[] {
  if (value === undefined || value === null) return []
  return Array.isArray(value)
    ? value.map((item, i) => ({ value: item, path: [...path, i] }))
    : [{ value, path }]
}

function warnOfMisplaced(clauses: Clause[], faults: Faults): void {
  for (const { moment, retry, result, path } of clauses) {
    if (moment !== 'enter' && moment !== 'done') continue
    const where = moment === 'enter' ? 'as a step is entered' : 'at the end of a loop'
    if (retry !== undefined) faults.fault(path, `"retry" repeats a call; ${where} there is none to repeat`)
    if (result !== undefined) {
      faults.fault(
        path,
        moment === 'enter'
          ? '"result" replaces what a call gave; as a step is entered there is nothing yet'
          : '"result" is of one call; at the end of a loop use "set" or "collect", and read it as vars.<name>',
      )
    }
  }
}

/** When a clause's sinks are written: as the clause matched, of its moment the first. */
function sinkCondition(
  one: Ruled,
  ruled: Ruled[],
  mark: Mark,
  about: { step: string; result: string },
): Json | undefined {
  if (one.decided) return `{{ ${mark.value}.clause == ${one.index} }}`
  const names = new Map(['result', 'response', about.step].map((name) => [name, about.result]))
  const condition = ({ when }: Ruled) => renameInCondition(when, names)
  const earlier = ruled
    .slice(0, ruled.indexOf(one))
    .filter(({ clause, decided }) => clause.moment === one.clause.moment && !clause.retry && !decided)
  return allOf(
    ruled.some(({ decided }) => decided) ? `{{ not ${mark.value} }}` : undefined,
    ...earlier.map((other) => not(condition(other))),
    condition(one),
  )
}

/** What the step between is handed of the loop's names: those that the clause looks at. */
function handedOn(clause: Clause, { loop }: Step): JsonObject {
  const text = JSON.stringify({ ...clause, path: null, when: null })
  const names = ['loop', 'item', 'loop_index', loop?.iterator ?? 'item']
  return Object.fromEntries(
    names.filter((name) => text.includes(name)).map((name) => [name, `{{ ${name} }}`]),
  )
}

/** What a clause does at the end of a loop beside going on, as a step of its own; undefined when that is nothing. */
function stepBetween(step: Step, clause: Clause, n: number, about: SeedAbout): Step | undefined {
  const { set, collect, calls, next, sinks, fail } = clause
  const tasks = sinks.length > 0 || fail !== undefined ? [passOn()] : []
  if (tasks.length === 0 && Object.keys(set).length === 0 && collect.length === 0 && calls.length === 0) {
    return undefined
  }
  const between: Step = {
    name: `${step.name}:done${n === 0 ? '' : `_${n}`}`,
    line: step.line,
    tasks,
    pipeline: false,
    input: {},
    set,
    next:
      next === null
        ? step.next
        : {
            mode: next.length > 1 ? 'inclusive' : 'exclusive',
            arcs: next.map((target) => ({ ...target, set: {} })),
          },
    onEnter: [],
    onCall: collect.length + calls.length === 0 ? [] : [{ set: {}, collect, calls, next: null }],
    onExit: [],
    loopResult: 'all',
    admit: [],
    outputSelect: [],
  }
  const sinkAbout = { ...about, step: step.name, result: nameOf(tasks[0]) }
  addTasks(between, {
    before: [],
    after: [
      ...sinks.flatMap(({ value, path }) => readSink(value, path, undefined, sinkAbout) ?? []),
      ...(fail === undefined ? [] : [failTask(clause, undefined, step.name)]),
    ],
    when: undefined,
  })
  return between
}
