import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { loadExecution } from '../store/executions.ts'
import {
  countVarAccess,
  forgetVarAccess,
  loadVarAccess,
  loadVarOrigins,
  type VarAccess,
  type VarOrigin,
} from '../store/vars.ts'
import { variablesOf } from './execution-view.ts'
import type { Parts } from './parts.ts'
import { Anything, IdParams, Maybe } from './shapes.ts'

const VAR_TYPES = ['user_defined', 'step_result', 'computed', 'iterator_state'] as const
type VarType = (typeof VAR_TYPES)[number]

const VarName = Type.String({ minLength: 1, maxLength: 200 })
const VarTypeOf = Maybe(Type.Union(VAR_TYPES.map((type) => Type.Literal(type))))
const Source = Maybe(Type.String({ maxLength: 1000 }))
const Listed = Type.Object({
  var_name: VarName,
  var_value: Type.Optional(Anything),
  var_type: VarTypeOf,
  source_step: Source,
})
const Put = Type.Object({
  variables: Type.Union([
    Type.Record(Type.String(), Anything, { maxProperties: 1000 }),
    Type.Array(Listed, { maxItems: 1000 }),
  ]),
  var_type: VarTypeOf,
  source_step: Source,
})
type Put = Static<typeof Put>
const ExecutionParams = Type.Object({ execution_id: IdParams.properties.id })
const VarParams = Type.Object({ execution_id: IdParams.properties.id, name: VarName })

/** `/api/vars/…`: the values of an execution's ctx, with where each comes from. */
export function varRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable

  app.get<{ Params: Static<typeof ExecutionParams> }>(
    `${prefix}/vars/:execution_id`,
    { schema: { params: ExecutionParams, summary: 'All values of ctx' } },
    async (request) => {
      const { execution_id } = request.params
      const values = await valuesOf(execution_id)
      const [origins, accesses] = await Promise.all([
        loadVarOrigins(pool, execution_id),
        loadVarAccess(pool, execution_id),
      ])
      const variables = Object.fromEntries(
        Object.entries(values).map(([name, value]) => [
          name,
          present(value, origins.get(name), accesses.get(name)),
        ]),
      )
      return { execution_id, variables, count: Object.keys(variables).length }
    },
  )

  app.get<{ Params: Static<typeof VarParams> }>(
    `${prefix}/vars/:execution_id/:name`,
    { schema: { params: VarParams, summary: 'One value of ctx; counts the access' } },
    async (request) => {
      const { execution_id, name } = request.params
      const values = await valuesOf(execution_id)
      if (!Object.hasOwn(values, name)) throw makeError('NOETL_ERR_VARIABLE_NOT_FOUND', [execution_id, name])
      const [origins, access] = await Promise.all([
        loadVarOrigins(pool, execution_id),
        countVarAccess(parts.pools.relaxed, execution_id, name),
      ])
      return { execution_id, name, ...present(values[name]!, origins.get(name), access) }
    },
  )

  app.post<{ Params: Static<typeof ExecutionParams>; Body: Put }>(
    `${prefix}/vars/:execution_id`,
    { schema: { params: ExecutionParams, body: Put, summary: 'Sets values of ctx' } },
    async (request) => {
      const { execution_id } = request.params
      const names: string[] = []
      for (const [source, values] of bySource(request.body)) {
        await parts.engine.set(execution_id, values, source)
        names.push(...Object.keys(values))
      }
      if (names.length === 0) await valuesOf(execution_id)
      const var_names = [...new Set(names)]
      return { execution_id, variables_set: var_names.length, var_names }
    },
  )

  app.delete<{ Params: Static<typeof VarParams> }>(
    `${prefix}/vars/:execution_id/:name`,
    { schema: { params: VarParams, summary: 'Takes a value of ctx away' } },
    async (request) => {
      const { execution_id, name } = request.params
      if (!Object.hasOwn(await valuesOf(execution_id), name)) {
        throw makeError('NOETL_ERR_VARIABLE_NOT_FOUND', [execution_id, name])
      }
      await parts.engine.set(execution_id, {}, 'vars', [name])
      await forgetVarAccess(pool, execution_id, name)
      return { status: 'success', execution_id, name, deleted: true }
    },
  )

  async function valuesOf(executionId: string): Promise<JsonObject> {
    const row = await loadExecution(pool, executionId)
    if (row === undefined) throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [executionId])
    return variablesOf(parts, executionId, row.state)
  }
}

/** What was set over this API says so in `meta.source` of its event: `vars`, its type, and a step if one is named. */
const FROM_API = /^vars\/(user_defined|step_result|computed|iterator_state)(?:\/(.*))?$/s

function bySource({ variables, var_type, source_step }: Put): Map<string, JsonObject> {
  const common = { var_type, source_step }
  const listed = Array.isArray(variables)
    ? variables.map((one) => ({
        ...one,
        var_type: one.var_type ?? var_type,
        source_step: one.source_step ?? source_step,
      }))
    : Object.entries(variables).map(([var_name, var_value]) => ({ var_name, var_value, ...common }))
  const groups = new Map<string, JsonObject>()
  for (const { var_name: name, var_value, var_type: type, source_step: step } of listed) {
    // Where values are kept, this name would set what an object is made of.
    if (name === '__proto__' || name === '' || name.length > 200) {
      throw makeError('NOETL_ERR_REQUEST_INVALID', [
        `body/variables has the name ${JSON.stringify(name.slice(0, 60))}; 1 to 200 characters, and not __proto__, were expected`,
      ])
    }
    const source = `vars/${type ?? 'user_defined'}${step ? `/${step}` : ''}`
    const values = groups.get(source) ?? {}
    values[name] = (var_value ?? null) as Json
    groups.set(source, values)
  }
  return groups
}

function present(value: Json, origin: VarOrigin | undefined, access: VarAccess | undefined): JsonObject {
  return {
    value,
    ...kindOf(origin),
    created_at: origin?.created_at.toISOString() ?? null,
    accessed_at: access?.accessed_at.toISOString() ?? null,
    access_count: access?.access_count ?? 0,
  }
}

/** Set over this API, or by a step: with its result, or by one of its rules and arcs. */
function kindOf(origin: VarOrigin | undefined): { type: VarType; source_step: string | null } {
  const [, type, step] = FROM_API.exec(origin?.source ?? '') ?? []
  if (type !== undefined) return { type: type as VarType, source_step: step ?? null }
  const source_step = origin?.node_name ?? origin?.source ?? null
  const own = origin?.event_type === 'call.done' || origin?.event_type === 'step.exit'
  return { type: own ? 'step_result' : 'computed', source_step }
}
