import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { isNumber } from '../schemas/numbers.ts'
import { hasTemplate } from '../template/tokens.ts'
import { itemsOf, oddConditions, type Placed, stepsOf, toolsOf } from './check-sites.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { warnUnknownKeys } from './values.ts'

const ROOT_KEYS = [
  ...['apiVersion', 'kind', 'metadata', 'workload', 'workflow', 'workbook', 'keychain', 'executor', 'spec'],
  ...['name', 'path', 'dialect', 'description'],
]
const EXECUTOR_KEYS = ['profile', 'version', 'requires', 'spec', 'name', 'desc']
const EXECUTOR_SPEC_KEYS = ['entry_step', 'final_step', 'no_next_is_error', 'on_error', 'max_steps', 'lane']
const LOOP_KEYS = ['in', 'iterator', 'mode', 'max_in_flight', 'spec', 'cursor', 'frame', 'policy', 'desc']
const LOOP_SPEC_KEYS = ['mode', 'max_in_flight', 'policy', 'frame', 'cursor', 'result']
const STEP_SPEC_KEYS = ['policy', 'max_attempts', 'lane']
const STEP_POLICY_KEYS = ['admit', 'rules']
const CLAUSE_KEYS = ['when', 'then', 'else', 'name', 'desc']
const RULE_KEYS = [
  'do',
  'to',
  'attempts',
  'max_attempts',
  'delay',
  'backoff',
  'set',
  'message',
  'result',
  'desc',
]
const ADMIT_KEYS = ['allow', 'desc']
const RETRY_KEYS = ['max_attempts', 'attempts', 'initial_delay', 'delay', 'backoff', 'when', 'retry_when']

/** Keys that are not known, numbers that are none, lists that are none: what would be passed over in silence. */
export function checkShape(root: JsonObject, faults: Faults): void {
  const unknown = (value: Json | undefined, keys: readonly string[], path: Path) => {
    if (isObject(value)) warnUnknownKeys(value, keys, path, { faults, nearest })
  }
  // Playbooks carry notes of their own at the top: only what is almost a known key is told.
  for (const key of Object.keys(root)) {
    const meant = ROOT_KEYS.includes(key) ? undefined : nearest(key, ROOT_KEYS)[0]
    if (meant !== undefined) faults.warn([key], `"${key}" is not known here and is ignored`, meant)
  }
  for (const { value, path } of oddConditions(root)) {
    const seen = Array.isArray(value) ? 'a list' : 'a mapping'
    faults.warn(path, `${String(path.at(-1))} is ${seen}; a condition such as "{{ ctx.n > 1 }}" was expected`)
  }
  unknown(root.executor, EXECUTOR_KEYS, ['executor'])
  if (isObject(root.executor)) unknown(root.executor.spec, EXECUTOR_SPEC_KEYS, ['executor', 'spec'])
  for (const step of stepsOf(root)) {
    const { loop, spec } = step.value
    checkLoop({ value: loop ?? null, path: [...step.path, 'loop'] }, faults)
    unknown(spec, STEP_SPEC_KEYS, [...step.path, 'spec'])
    if (isObject(spec)) {
      const path = [...step.path, 'spec', 'policy']
      if (spec.max_attempts !== undefined)
        checkCount(spec.max_attempts, [...step.path, 'spec', 'max_attempts'], faults)
      unknown(spec.policy, STEP_POLICY_KEYS, path)
      if (isObject(spec.policy)) {
        const { admit, rules } = spec.policy
        checkRules({ value: rules ?? null, path: [...path, 'rules'] }, RULE_KEYS, faults)
        const inner = isObject(admit)
          ? { value: admit.rules ?? null, path: [...path, 'admit', 'rules'] }
          : undefined
        checkRules(inner ?? { value: admit ?? null, path: [...path, 'admit'] }, ADMIT_KEYS, faults)
      }
    }
    for (const tool of toolsOf(step)) checkPolicy(tool, faults)
  }
}

function checkPolicy({ value, path }: Placed<JsonObject>, faults: Faults): void {
  const policy = isObject(value.spec) ? value.spec.policy : undefined
  if (isObject(policy)) {
    const at = [...path, 'spec', 'policy']
    warnUnknownKeys(policy, ['rules'], at, { faults, nearest })
    checkRules({ value: policy.rules ?? null, path: [...at, 'rules'] }, RULE_KEYS, faults)
  }
  const at = [...path, 'retry']
  if (typeof value.retry === 'number') checkCount(value.retry, at, faults)
  if (!isObject(value.retry)) return
  warnUnknownKeys(value.retry, RETRY_KEYS, at, { faults, nearest })
  checkRetry(value.retry, at, faults)
}

function checkRules({ value, path }: Placed, keys: readonly string[], faults: Faults): void {
  for (const { value: clause, path: at } of itemsOf(value, path)) {
    if (!isObject(clause)) continue
    const otherwise = 'else' in clause
    const body = otherwise ? clause.else : clause
    const place = otherwise ? [...at, 'else'] : at
    if (otherwise) warnUnknownKeys(clause, CLAUSE_KEYS, at, { faults, nearest })
    if (!isObject(body)) continue
    const inThen = isObject(body.then)
    const action = inThen ? (body.then as JsonObject) : body
    if (inThen) {
      warnUnknownKeys(body, CLAUSE_KEYS, place, { faults, nearest })
      warnUnknownKeys(action, keys, [...place, 'then'], { faults, nearest })
    } else warnUnknownKeys(body, [...CLAUSE_KEYS, ...keys], place, { faults, nearest })
    checkRetry(action, inThen ? [...place, 'then'] : place, faults)
  }
}

/** Runs and seconds of a retry; what is no number would be taken for the default. */
function checkRetry(retry: JsonObject, path: Path, faults: Faults): void {
  for (const key of ['attempts', 'max_attempts']) {
    const value = retry[key]
    if (value !== undefined && value !== null) checkCount(value, [...path, key], faults)
  }
  for (const key of ['delay', 'initial_delay']) {
    const value = retry[key]
    if (value === undefined || value === null || isTemplate(value) || (numberIn(value) ?? -1) >= 0) continue
    faults.fault(
      [...path, key],
      `${key} is ${JSON.stringify(value)}; a number of seconds from 0 was expected`,
    )
  }
}

function checkCount(value: Json, path: Path, faults: Faults): void {
  const number = numberIn(value)
  if (isTemplate(value) || (number !== undefined && Number.isInteger(number) && number >= 1)) return
  faults.fault(path, `${String(path.at(-1))} is ${JSON.stringify(value)}; a whole number from 1 was expected`)
}

function isTemplate(value: Json): boolean {
  return typeof value === 'string' && hasTemplate(value)
}

/** Text of digits counts: a number is written so where it comes from elsewhere. */
function numberIn(value: Json): number | undefined {
  if (typeof value === 'string' && value.trim() === '') return undefined
  const number = isNumber(value) || typeof value === 'string' ? Number(value) : Number.NaN
  return Number.isFinite(number) ? number : undefined
}

function checkLoop({ value, path }: Placed, faults: Faults): void {
  if (!isObject(value)) return
  warnUnknownKeys(value, LOOP_KEYS, path, { faults, nearest })
  if (isObject(value.spec))
    warnUnknownKeys(value.spec, LOOP_SPEC_KEYS, [...path, 'spec'], { faults, nearest })
  const { iterator } = value
  if (typeof iterator === 'string' && !/^[\p{L}_][\p{L}\p{N}_]*$/u.test(iterator)) {
    faults.warn(
      [...path, 'iterator'],
      `"${iterator}" is no name that a template can read; letters, digits and _ were expected`,
    )
  }
  if (!('in' in value)) return
  const wrong = whyNoList(value.in!)
  if (wrong === undefined) return
  // As with a template that does not parse, it is the step that fails, and an arc may catch it.
  const message = `in is ${wrong.seen}; a list was expected, so that the step fails`
  faults.warn([...path, 'in'], message, wrong.meant)
}

/** A loop goes over a list, a mapping, a whole number, or a text that holds one of these as JSON. */
function whyNoList(value: Json): { seen: string; meant?: string } | undefined {
  if (value === null) return { seen: 'empty' }
  if (Array.isArray(value) || isObject(value)) return undefined
  if (typeof value === 'number')
    return Number.isInteger(value) && value >= 0 ? undefined : { seen: String(value) }
  if (typeof value !== 'string') return { seen: String(value) }
  if (hasTemplate(value)) return undefined
  try {
    return whyNoList(JSON.parse(value) as Json)
  } catch {
    const text = value.trim()
    const meant = /^[\p{L}_][\p{L}\p{N}_.]*$/u.test(text) ? { meant: `{{ ${text} }}` } : {}
    return { seen: `the text ${JSON.stringify(text.slice(0, 80))}`, ...meant }
  }
}
