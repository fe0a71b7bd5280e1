import type { V1EnvVar } from '@kubernetes/client-node'
import { isObject, type Json, type JsonObject, ToolError } from '@noetl/core'
import { literal } from './command.ts'
import { asText, field, misfit } from './fields.ts'

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
/** As those that Kubernetes takes: letters, digits, `-`, `_` and `.`, not a digit first. */
const KUBERNETES_NAME = /^[-._A-Za-z][-._A-Za-z0-9]*$/
/** Before the names of arguments: no argument can then stand for PATH, LD_PRELOAD or the like. */
const ARGUMENT_PREFIX = 'INPUT_'
const MAX_ARGUMENT_BYTES = 16 * 1024
/** Of all arguments together; a Job must stay well below what a cluster stores. */
const MAX_ARGUMENTS_BYTES = 128 * 1024

/** The step's plain arguments as `INPUT_<name>`, then `env` of the step. */
export function environmentOf(job: JsonObject, input: JsonObject): V1EnvVar[] {
  const variables = new Map(plainArguments(input).map((variable) => [variable.name, variable]))
  for (const variable of given(field(job, 'env'))) variables.set(variable.name, variable)
  return [...variables.values()]
}

function given(env: Json | undefined): V1EnvVar[] {
  if (env === undefined) return []
  if (Array.isArray(env)) return env.flatMap((item) => (isObject(item) ? listed(item) : []))
  if (!isObject(env)) throw misfit('env', 'a mapping', env)
  return Object.entries(env).flatMap(([name, value]) => {
    if (value === null) return []
    checkName(name)
    const from = isObject(value) ? valueFrom(value) : undefined
    return [from === undefined ? { name, value: literal(asText(value)) } : { name, valueFrom: from }]
  })
}

/** `{name, value}` or `{name, valueFrom}`, as Kubernetes has it. */
function listed(item: JsonObject): V1EnvVar[] {
  const name = asText(item.name ?? '')
  checkName(name)
  const from = valueFrom(item)
  if (from !== undefined) return [{ name, valueFrom: from }]
  return item.value === undefined || item.value === null ? [] : [{ name, value: asText(item.value) }]
}

/** A key of a Secret or ConfigMap of the cluster: in short, or as Kubernetes has it. */
function valueFrom(value: JsonObject): V1EnvVar['valueFrom'] {
  const from = field(value, 'value_from')
  const within = isObject(from) ? from : value
  const key = asText(within.key ?? '')
  const secret = within.secretKeyRef
  const map = within.configMapKeyRef
  if (isObject(secret)) return { secretKeyRef: reference(secret) }
  if (isObject(map)) return { configMapKeyRef: reference(map) }
  if (key === '') return undefined
  if (typeof within.secret === 'string') return { secretKeyRef: { name: within.secret, key } }
  if (typeof within.config_map === 'string') return { configMapKeyRef: { name: within.config_map, key } }
  return undefined
}

function reference(given: JsonObject): { name: string; key: string; optional?: boolean } {
  const optional = given.optional === true ? { optional: true } : {}
  return { name: asText(given.name ?? ''), key: asText(given.key ?? ''), ...optional }
}

function checkName(name: string): void {
  if (KUBERNETES_NAME.test(name)) return
  throw new ToolError(
    'schema',
    `"${name}" under env cannot be the name of a variable: letters, digits and _ were expected.`,
  )
}

/** Arguments that fit in a variable; others are for the templates only. */
function plainArguments(input: JsonObject): V1EnvVar[] {
  const fitting: V1EnvVar[] = []
  let room = MAX_ARGUMENTS_BYTES
  for (const [name, value] of Object.entries(input)) {
    if (!NAME.test(name) || value === null || isObject(value) || Array.isArray(value)) continue
    const text = String(value)
    const bytes = Buffer.byteLength(text)
    if (bytes > MAX_ARGUMENT_BYTES || bytes + name.length > room || text.includes('\0')) continue
    room -= bytes + name.length
    fitting.push({ name: ARGUMENT_PREFIX + name, value: literal(text) })
  }
  return fitting
}
