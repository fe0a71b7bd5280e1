import type { Json, JsonObject } from '../schemas/json.ts'
import type { Reaction, Step } from '../schemas/playbook.ts'
import { allOf, atEvent, atLoopEnd } from './conditions.ts'
import type { Clause } from './seed-case.ts'
import { actsAfter, type Mark, type Ruled } from './seed-rules.ts'

/** A reaction with the place of its clause. */
export interface Placed {
  index: number
  reaction: Reaction
}

/** What clauses do once the call is told. One with nothing left to do stays, to keep those behind it from theirs. */
export function reactionsOf(
  ruled: Ruled[],
  done: Placed[],
  marks: { decided: Mark; failed: Mark },
): Pick<Step, 'onCall' | 'onExit'> {
  const at = (moment: Clause['moment'], others: Placed[]) => {
    const there = ruled.filter(({ clause }) => clause.moment === moment && clause.fail === undefined)
    const plain = there
      .filter(({ decided, clause }) => !decided && !isOnlyRule(clause))
      .map(({ clause, index }) => ({ index, reaction: plainReaction(clause) }))
    return [
      // What a rule has decided is not looked at again, nor does another clause see what became of the result.
      ...there.filter(({ decided }) => decided).map((one) => decidedReaction(one, marks.decided)),
      ...[...plain, ...others].sort((a, b) => a.index - b.index).map(({ reaction }) => reaction),
    ]
  }
  // A failure that ends the execution comes before whatever might catch it.
  const fails = ruled.some(({ clause }) => clause.fail !== undefined)
  return {
    onCall: [...(fails ? [failedReaction(marks.failed)] : []), ...at('call', done)],
    onExit: at('exit', []),
  }
}

/** A call that is repeated by hand and ends well has not failed any more. */
function failedReaction({ value }: Mark): Reaction {
  return { when: `{{ error is defined and ${value} }}`, set: {}, collect: [], calls: [], next: [] }
}

/** After the last repeat of a retry the next clause has its turn. */
function isOnlyRule(clause: Clause): boolean {
  return clause.retry !== undefined && !actsAfter(clause) && clause.sinks.length === 0
}

function plainReaction({ when, set, collect, calls, next, retry }: Clause): Reaction {
  // What a retry sets, it sets with each repeat.
  return {
    ...(when === undefined ? {} : { when }),
    set: retry === undefined ? set : {},
    collect,
    calls,
    next,
  }
}

function decidedReaction({ clause, index }: Ruled, { value }: Mark): Reaction {
  const targets = [...clause.calls, ...(clause.next ?? [])].map(({ step, args, late }, i) => ({
    step,
    args: late
      ? args
      : Object.fromEntries(
          Object.keys(args).map((name) => [name, `{{ ${value}.args[${i}][${JSON.stringify(name)}] }}`]),
        ),
  }))
  const seen = clause.moment === 'exit' ? ' and (error is defined or result is defined)' : ''
  return {
    when: `{{ ${value}.clause == ${index}${seen} }}`,
    set: clause.setLate,
    collect: clause.collect.map(({ into, mode, from, late }, i) => ({
      into,
      mode,
      from: late ? from : `{{ ${value}.collect[${i}] }}`,
    })),
    calls: targets.slice(0, clause.calls.length),
    next: clause.next && targets.slice(clause.calls.length),
  }
}

/**
 * A clause that is for the end of the loop. Its way on is its reaction; what else it does is done by a step between,
 * for a loop's reactions are taken with each of its rounds.
 */
export function doneReaction(clause: Clause, between: string | undefined, args: JsonObject): Reaction {
  const next = between === undefined ? clause.next : [{ step: between, args }]
  return { when: doneCondition(clause.when)!, set: {}, collect: [], calls: [], next }
}

function doneCondition(when: Json | undefined): Json | undefined {
  const text = typeof when === 'string' ? when : ''
  if (/(['"])loop\.done\1/.test(text)) return atLoopEnd(when)
  // It is one event that ends the loop here: of the last call, and of leaving the step.
  const called = "('call.error' if error is defined else 'call.done')"
  return atLoopEnd(atEvent(when, /(['"])step\.exit\1/.test(text) ? "'step.exit'" : called))
}

/** Trailing reactions that do nothing keep nothing from anything. */
export function trimmed(reactions: Reaction[]): Reaction[] {
  const last = reactions.findLastIndex(
    ({ set, collect, calls, next }) =>
      Object.keys(set).length > 0 || collect.length > 0 || calls.length > 0 || next !== null,
  )
  return reactions.slice(0, last + 1)
}

/** Reactions to entering the step: of the clauses that send the flow elsewhere, which of them is kept in a mark. */
export function enterReactions(clauses: Clause[], mark: Mark): Reaction[] {
  const entered = clauses.filter(({ moment }) => moment === 'enter')
  const marked = entered.some(
    ({ next, sinks, fail }) => next !== null || sinks.length > 0 || fail !== undefined,
  )
  const marking = (value: Json) => (marked ? { [`ctx.${mark.name}`]: value } : {})
  const onEnter = entered.map((clause): Reaction => {
    const { when, set, collect, calls, next, sinks, fail } = clause
    const counts = next !== null || sinks.length > 0 || fail !== undefined
    return {
      ...(when === undefined ? {} : { when }),
      set: { ...set, ...marking(counts ? clauses.indexOf(clause) : null) },
      collect,
      calls,
      next: null,
    }
  })
  if (marked) onEnter.push({ set: marking(null), collect: [], calls: [], next: null })
  return onEnter
}

/** Condition that the step was entered by this clause. */
export function enteredBy(clause: Clause, clauses: Clause[], { value }: Mark): Json {
  return `{{ ${value} == ${clauses.indexOf(clause)} }}`
}

/** Where entering by such a clause leads: elsewhere, or nowhere after a failure. */
export function enteredReactions(clauses: Clause[], mark: Mark): Reaction[] {
  return clauses.flatMap((clause) => {
    if (clause.moment !== 'enter' || (clause.next === null && clause.fail === undefined)) return []
    return [
      {
        when: enteredBy(clause, clauses, mark),
        set: {},
        collect: [],
        calls: [],
        next: clause.fail === undefined ? clause.next : [],
      },
    ]
  })
}

/** Condition under which no clause of entering sent the flow elsewhere. */
export function stays(clauses: Clause[], { value }: Mark): Json | undefined {
  const elsewhere = clauses.flatMap((clause, i) =>
    clause.moment === 'enter' && clause.next !== null ? [i] : [],
  )
  return elsewhere.length === 0 ? undefined : allOf(`{{ ${value} not in ${JSON.stringify(elsewhere)} }}`)
}
