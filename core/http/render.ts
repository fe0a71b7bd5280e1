import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { loadExecution } from '../store/executions.ts'
import { loadWhole } from '../store/results.ts'
import { loadEvents, loadResults } from '../store/values.ts'
import { makeScope } from '../template/scope.ts'
import { compileTemplate, StepResult, type Template } from '../template/template.ts'
import { variablesOf } from './execution-view.ts'
import type { Parts } from './parts.ts'
import { Anything, Bag, Id, idText, Maybe } from './shapes.ts'

const Render = Type.Object({
  execution_id: Id,
  template: Anything,
  extra_context: Maybe(Bag),
})

/** `POST /api/context/render`: a template with the names of an execution as it stands now. */
export function renderRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.post<{ Body: Static<typeof Render> }>(
    `${prefix}/context/render`,
    { schema: { body: Render, summary: 'Evaluates a template as an execution would now' } },
    async (request) => {
      const execution_id = idText(request.body.execution_id)
      const template = compileTemplate(request.body.template as Json)
      const rendered = await render(
        parts,
        execution_id,
        template,
        (request.body.extra_context ?? {}) as JsonObject,
      )
      return { status: 'ok', execution_id, rendered }
    },
  )
}

async function render(parts: Parts, id: string, template: Template, extras: JsonObject): Promise<Json> {
  const row = await loadExecution(parts.pools.durable, id)
  if (row === undefined) throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [id])
  const plan = await parts.plans.byId(row.catalog_id)
  const steps = stepsNamed(
    template,
    plan.playbook.steps.map((step) => step.name),
  )
  const [[start], ctx, results] = await Promise.all([
    loadEvents(parts.pools.durable, id, [id]),
    variablesOf(parts, id, row.state),
    loadStepResults(parts, id, steps),
  ])
  const workload = isObject(start?.context?.workload) ? start.context.workload : {}
  const scope = makeScope(
    {
      executionId: id,
      parentExecutionId: row.parent_execution_id,
      ctxFirst: plan.playbook.dialect === 'seed',
      workload: () => workload,
      ctxNames: () => Object.keys(ctx),
      ctx: (name) => (Object.hasOwn(ctx, name) ? ctx[name] : undefined),
      stepNames: () => results.keys(),
      step: (name) => results.get(name),
      previous: () => undefined,
      now: () => new Date().toISOString(),
    },
    extras,
  )
  return template.render(scope)
}

/** Steps that a template can look at: named alone, or below `steps`. */
function stepsNamed(template: Template, steps: string[]): string[] {
  const below = new Set(
    template.paths
      .filter(([root]) => root === 'steps')
      .map(([, name]) => (name === undefined ? null : String(name))),
  )
  return below.has(null) ? steps : steps.filter((name) => template.roots.has(name) || below.has(name))
}

/** Results of steps, those that are stored aside read whole. */
async function loadStepResults(parts: Parts, id: string, steps: string[]): Promise<Map<string, StepResult>> {
  const pool = parts.pools.durable
  const results = new Map<string, StepResult>()
  for (const { step, event_id, result, aside } of await loadResults(pool, id, steps)) {
    const whole = aside ? await loadWhole(pool, id, event_id) : undefined
    results.set(step, whole === undefined ? new StepResult(result) : new StepResult(result, () => whole))
  }
  return results
}
