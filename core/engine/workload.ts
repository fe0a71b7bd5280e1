import { isNoetlError } from '../errors.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { put } from '../schemas/put.ts'
import { makeScope } from '../template/scope.ts'
import { compileTemplate } from '../template/template.ts'

/**
 * The workload of a new execution: the payload's top-level keys laid over the playbook's defaults, whose
 * templates are evaluated once. A default that cannot be evaluated stays as it is written.
 */
export function workloadOf(
  defaults: JsonObject,
  payload: JsonObject,
  about: { executionId: string; parentExecutionId: string | null; now: string },
): JsonObject {
  const workload: JsonObject = { ...defaults, ...payload }
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
    {},
  )
  const rendered: JsonObject = { ...workload }
  for (const [key, value] of Object.entries(defaults)) {
    if (!Object.hasOwn(payload, key))
      put(
        rendered,
        key,
        leniently(value, () => compileTemplate(value).render(scope)),
      )
  }
  return rendered
}

function leniently(written: Json, render: () => Json): Json {
  try {
    return render()
  } catch (problem) {
    if (isNoetlError(problem)) return written
    throw problem
  }
}
