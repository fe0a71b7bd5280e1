import { Document, isScalar, type ScalarTag, visit } from 'yaml'
import type { Json, JsonObject } from '../schemas/json.ts'
import { Decimal } from '../schemas/numbers.ts'
import type {
  AdmitRule,
  Arc,
  Loop,
  Playbook,
  Reaction,
  Router,
  Rule,
  Step,
  Target,
  Task,
} from '../schemas/playbook.ts'
import { ROWS } from './tasks.ts'

/**
 * A playbook in the internal form as text of the current dialect. What that dialect has no words for has keys of its
 * own, which the compiler reads in any playbook:
 *   - `dialect` at the top, for what a playbook of the first dialect still differs in when it runs;
 *   - `react` of a step, see `react.ts`; `ahead` and `aside` of a step, lists of tools that run before and after its
 *     own for their effect;
 *   - `spec.result: last` of a loop;
 *   - `spec.when`, `spec.aside`, `spec.rows` of a tool, and `result` of a rule.
 * Compiled again, it is the same playbook but for the lines of its steps.
 */
export function printPlaybook(playbook: Playbook): string {
  const { path, name, description, dialect, workload, steps, entry, finalStep, onError, maxSteps, keychain } =
    playbook
  const spec = {
    ...(entry === 'start' ? {} : { entry_step: entry }),
    ...(finalStep === undefined ? {} : { final_step: finalStep }),
    ...(onError === 'fail' ? {} : { on_error: onError }),
    ...(playbook.noNextIsError === undefined ? {} : { no_next_is_error: true }),
    ...(maxSteps === undefined ? {} : { max_steps: maxSteps }),
    ...laneOf(playbook),
  }
  return stringify({
    apiVersion: 'noetl.io/v2',
    kind: 'Playbook',
    ...(dialect === 'seed' ? { dialect } : {}),
    metadata: { name, path, ...(description === undefined ? {} : { description }) },
    ...(isEmpty(spec) ? {} : { executor: { spec } }),
    ...(isEmpty(workload) ? {} : { workload }),
    ...(keychain.length === 0
      ? {}
      : { keychain: keychain.map(({ name, kind, config }) => ({ name, kind, ...config })) }),
    workflow: steps.map((step) => stepOf(step, dialect)),
  })
}

function stepOf(step: Step, dialect: Playbook['dialect']): JsonObject {
  const { name, description, pipeline, loop, admit, maxAttempts, outputSelect, outputStore } = step
  const first = pipeline ? 0 : step.tasks.findIndex((task) => task.aside === undefined)
  const at = Math.max(0, first)
  const behind = pipeline ? step.tasks.length : first + 1
  const main = step.tasks.slice(at, behind).map((task, i) => taskOf(task, `task_${i}`, dialect))
  const beside = (tasks: Task[]) => tasks.map((task) => withoutAside(taskOf(task, undefined, dialect)))
  const ahead = beside(step.tasks.slice(0, at))
  const aside = beside(step.tasks.slice(behind))
  const spec = {
    ...(maxAttempts === undefined ? {} : { max_attempts: maxAttempts }),
    ...laneOf(step),
    ...(admit.length === 0 ? {} : { policy: { admit: { rules: admit.map(admitOf) } } }),
  }
  return {
    step: name,
    ...(description === undefined ? {} : { desc: description }),
    ...some('input', step.input),
    ...(loop === undefined ? {} : { loop: loopOf(loop, step.loopResult, dialect) }),
    ...(ahead.length === 0 ? {} : { ahead }),
    ...(pipeline ? { tool: main } : main[0] === undefined ? {} : { tool: main[0] }),
    ...(aside.length === 0 ? {} : { aside }),
    ...some('set', step.set),
    ...reactOf(step),
    ...nextOf(step.next),
    ...some('spec', spec),
    ...some('output', {
      ...(outputSelect.length === 0 ? {} : { output_select: outputSelect }),
      ...(outputStore === undefined ? {} : { store: { kind: outputStore } }),
    }),
  }
}

/** A tool, with its name unless that is what it would be called without one. */
function taskOf(task: Task, unnamed: string | undefined, dialect: Playbook['dialect']): JsonObject {
  const { label, kind, config, input, set, rules, effect, probe, when, aside, rows } = task
  const rowsByKind = dialect === 'seed' && ROWS.includes(kind)
  const spec: JsonObject = {
    ...(when === undefined ? {} : { when }),
    ...(aside === undefined ? {} : { aside }),
    ...((rows === true) === rowsByKind ? {} : { rows: rows === true }),
    ...(rules.length === 0 ? {} : { policy: { rules: rules.map(ruleOf) } }),
  }
  return {
    ...(label === unnamed ? {} : { name: label }),
    kind,
    ...config,
    ...some('input', input),
    ...some('set', set),
    ...(effect === undefined ? {} : { effect }),
    ...(probe === undefined ? {} : { probe: probeOf(probe, dialect) }),
    ...some('spec', spec),
  }
}

/** It has one label, whatever it is called. */
function probeOf(probe: Task, dialect: Playbook['dialect']): JsonObject {
  const { name: _name, ...written } = taskOf(probe, undefined, dialect)
  return written
}

/** In `aside` every tool is one. */
function withoutAside(task: JsonObject): JsonObject {
  const { spec, ...fields } = task
  const { aside: _aside, ...rest } = spec as JsonObject
  return { ...fields, ...some('spec', rest) }
}

function ruleOf({ when, do: action, to, attempts, delay, backoff, set, message, result }: Rule): JsonObject {
  const then: JsonObject = {
    do: action,
    ...(to === undefined ? {} : { to }),
    ...(attempts === 3 ? {} : { attempts }),
    ...(delay === 1 ? {} : { delay }),
    ...(backoff === 'none' ? {} : { backoff }),
    ...some('set', set),
    ...(message === undefined ? {} : { message }),
    ...(result === undefined ? {} : { result }),
  }
  return clause(when, then)
}

function admitOf({ when, allow }: AdmitRule): JsonObject {
  return clause(when, { allow })
}

function clause(when: Json | undefined, then: Json): JsonObject {
  return when === undefined ? { else: taken(then) } : { when, ...taken(then) }
}

/** An object with `then` written out is taken for a promise by linters. */
function taken(then: Json): JsonObject {
  return Object.fromEntries([['then', then]])
}

function loopOf(loop: Loop, result: Step['loopResult'], dialect: Playbook['dialect']): JsonObject {
  const { iterator, mode, maxInFlight, cursor } = loop
  const usual = dialect === 'seed' ? 'last' : 'all'
  const shared = result === usual ? {} : { result }
  if (cursor === undefined) {
    const spec = { mode, ...(mode === 'parallel' ? { max_in_flight: maxInFlight } : {}), ...shared }
    return { in: loop.in, iterator, spec }
  }
  const { command, ...config } = cursor.config
  const frame = {
    max_rows: cursor.maxRows,
    row_concurrency: cursor.rowConcurrency,
    ...(cursor.maxSeconds === undefined ? {} : { max_seconds: cursor.maxSeconds }),
  }
  return {
    ...(loop.in === null ? {} : { in: loop.in }),
    iterator,
    cursor: { kind: cursor.kind, ...config, claim: command ?? '' },
    spec: { mode: 'cursor', max_in_flight: maxInFlight, frame, ...shared },
  }
}

function reactOf({ onEnter, onCall, onExit }: Step): JsonObject {
  const react = Object.fromEntries(
    Object.entries({ enter: onEnter, call: onCall, exit: onExit })
      .filter(([, reactions]) => reactions.length > 0)
      .map(([moment, reactions]) => [moment, reactions.map(reactionOf)]),
  )
  return some('react', react)
}

function reactionOf({ when, set, collect, calls, next }: Reaction): JsonObject {
  return {
    ...(when === undefined ? {} : { when }),
    ...some('set', set),
    ...(collect.length === 0
      ? {}
      : {
          collect: collect.map(({ into, from, mode }) => ({
            into,
            from,
            ...(mode === 'append' ? {} : { mode }),
          })),
        }),
    ...(calls.length === 0 ? {} : { call: calls.map(targetOf) }),
    ...(next === null ? {} : { next: next.map(targetOf) }),
  }
}

function targetOf({ step, args }: Target): JsonObject {
  return { step, ...some('args', args) }
}

/** Arcs that are taken together stand under one `then`. */
function nextOf({ mode, arcs, quiet }: Router): JsonObject {
  if (mode === 'exclusive' && arcs.length === 0) return {}
  const written: JsonObject[] = []
  for (const [i, arc] of arcs.entries()) {
    if (arc.group === undefined) written.push(arcOf(arc))
    else if (arc.group !== arcs[i - 1]?.group) {
      written.push(taken(arcs.filter((other) => other.group === arc.group).map(arcOf)))
    }
  }
  const spec = {
    ...(mode === 'exclusive' ? {} : { mode }),
    ...(quiet === undefined ? {} : { on_no_match: 'quiet' }),
  }
  return { next: { ...some('spec', spec), arcs: written } }
}

function arcOf(arc: Arc): JsonObject {
  const { step, when, set, args } = arc
  return {
    step,
    ...(when === undefined ? {} : { when }),
    ...some('set', set),
    ...some('args', args),
    ...some('spec', laneOf(arc)),
  }
}

function laneOf({ lane }: { lane?: string }): JsonObject {
  return lane === undefined ? {} : { lane }
}

function some(key: string, value: JsonObject): JsonObject {
  return isEmpty(value) ? {} : { [key]: value }
}

function isEmpty(value: object): boolean {
  return Object.keys(value).length === 0
}

/** A number with more digits than a double has. */
const DIGITS: ScalarTag = {
  tag: 'tag:yaml.org,2002:float',
  default: true,
  identify: (value) => value instanceof Decimal,
  resolve: (text) => text,
  stringify: ({ value }) => String(value),
}

/** Whole floats beyond 2^53 are written with an exponent: as digits they would be whole numbers. */
function stringify(value: Json): string {
  const document = new Document(value, {
    aliasDuplicateObjects: false,
    customTags: (tags) => [DIGITS, ...tags],
  })
  visit(document, (_key, node) => {
    if (!isScalar(node)) return
    // Without quotes it merges another mapping.
    if (node.value === '<<') node.type = 'QUOTE_DOUBLE'
    if (typeof node.value !== 'number' || !Number.isInteger(node.value)) return
    if (!Number.isSafeInteger(node.value)) node.format = 'EXP'
  })
  return document.toString({ lineWidth: 0 })
}
