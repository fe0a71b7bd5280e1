import { isNoetlError, makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { put } from '../schemas/put.ts'
import { analyse } from '../template/analyse.ts'
import { makeScope } from '../template/scope.ts'
import { compileTemplate } from '../template/template.ts'

/**
 * The workload of a new execution: the payload's top-level keys laid over the playbook's defaults, whose
 * templates are evaluated once. A default that cannot be evaluated stays as it is written; one that asks for a
 * variable of the environment which is not given to templates is an error.
 */
export function workloadOf(
  defaults: JsonObject,
  payload: JsonObject,
  about: {
    executionId: string
    parentExecutionId: string | null
    now: string
    /** What templates may read of the environment. */
    env: Readonly<Record<string, string>>
  },
): JsonObject {
  const workload: JsonObject = { ...defaults, ...payload }
  const ownEnv = Object.hasOwn(workload, 'env')
  const scope = makeScope(
    {
      ...about,
      ctxFirst: false,
      workload: () => workload,
      ctxNames: () => [],
      ctx: () => undefined,
      stepNames: () => [],
      step: () => undefined,
      previous: () => undefined,
      now: () => about.now,
    },
    // A key of this name is the playbook's own.
    ownEnv ? {} : { env: about.env },
  )
  const rendered: JsonObject = { ...workload }
  for (const [key, value] of Object.entries(defaults)) {
    if (Object.hasOwn(payload, key)) continue
    const missing = ownEnv ? undefined : missingEnv(value, about.env)
    if (missing !== undefined) throw makeError('NOETL_ERR_TEMPLATE_ENV', [missing, key])
    const given = leniently(value, () => compileTemplate(value).render(scope))
    put(rendered, key, given)
  }
  return rendered
}

/** A variable that a value asks for without a guard such as `default`, and that is not there. */
function missingEnv(value: Json, env: Readonly<Record<string, string>>): string | undefined {
  if (Array.isArray(value)) return first(value, env)
  if (isObject(value)) return first(Object.values(value), env)
  if (typeof value !== 'string' || !value.includes('env')) return undefined
  const mentions = analyse(value, 'template').mentions.filter(
    ({ root, guarded }) => root === 'env' && !guarded,
  )
  const names = mentions.flatMap(({ segments: [name] }) => (typeof name === 'string' ? [name] : []))
  return names.find((name) => !Object.hasOwn(env, name))
}

function first(values: Json[], env: Readonly<Record<string, string>>): string | undefined {
  for (const value of values) {
    const missing = missingEnv(value, env)
    if (missing !== undefined) return missing
  }
  return undefined
}

function leniently(written: Json, render: () => Json): Json {
  try {
    return render()
  } catch (problem) {
    if (isNoetlError(problem)) return written
    throw problem
  }
}
