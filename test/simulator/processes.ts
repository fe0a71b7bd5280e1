import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from '../../core/config.ts'
import { makeChildren } from '../../core/engine/children.ts'
import { makeClaims } from '../../core/engine/claims.ts'
import { makeEngine } from '../../core/engine/engine.ts'
import { makeLetters } from '../../core/engine/letters.ts'
import type { Plans } from '../../core/engine/plans.ts'
import { leaseRoutes, waitingRoutes } from '../../core/http/commands.ts'
import { eventBatchRoutes } from '../../core/http/event-batches.ts'
import type { Parts } from '../../core/http/parts.ts'
import { startPlan } from '../../core/http/start.ts'
import type { JsonObject } from '../../core/schemas/json.ts'
import { notificationOf } from '../../core/schemas/notification.ts'
import { makeIdSource } from '../../core/store/ids.ts'
import type { Waiting } from '../../core/store/queue.ts'
import type { Store } from '../../core/store/store.ts'
import { announceDuty, makeShown } from '../../core/upkeep/announce.ts'
import { childrenDuty } from '../../core/upkeep/children.ts'
import { consumersDuty, followExhausted } from '../../core/upkeep/consumers.ts'
import { giveUpDuty } from '../../core/upkeep/give-up.ts'
import { rescueDuty } from '../../core/upkeep/rescue.ts'
import { stalledDuty } from '../../core/upkeep/stalled.ts'
import { streamDuty } from '../../core/upkeep/stream.ts'
import { startUpkeep } from '../../core/upkeep/upkeep.ts'
import { makeLeases } from '../../core/worker/leases.ts'
import { makeReports } from '../../core/worker/reports.ts'
import { runCommand } from '../../core/worker/run-command.ts'
import { askWaiting, makeServers } from '../../core/worker/servers.ts'
import { takeCommands } from '../../core/worker/take.ts'
import type { Handler, Net } from './net.ts'
import type { Stream } from './stream.ts'
import { EFFECTS, tools } from './tools.ts'
import type { Process } from './world.ts'

const PLACES = [{ lane: 'normal', pool: '' }]

/** What all processes share. */
export interface Surroundings {
  net: Net
  stream: Stream
  leaseSeconds: number
  /** Hears of a body that begins, and gives what hears of its end. */
  onRun(process: Process, commandId: string, signal: AbortSignal): () => void
  /** Hears what a worker was told of its report. */
  onReported(executionId: string, commandId: string, answer: string): void
}

/** What the code of a process writes to its log, in the trace. */
function logOf(process: Process): Logger {
  const write = (level: string) => (facts: unknown, message?: string) => {
    process.world.note(() => {
      const { err, ...rest } = (typeof facts === 'object' && facts !== null ? facts : {}) as { err?: Error }
      const more = { ...rest, ...(err === undefined ? {} : { err: err.message }) }
      return `${process.name} ${level}: ${message ?? facts} ${JSON.stringify(more)}`
    })
  }
  const log = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => log,
  }
  return log as unknown as Logger
}

/** A server as `core/server.ts` puts it together, without its port. */
export function runServer(
  process: Process,
  about: Surroundings & { url: string; number: number; store: Store; plans: Plans },
): void {
  const { net, stream, leaseSeconds, url, number, store, plans } = about
  const log = logOf(process)
  const bus = stream.busOf(process)
  const newId = makeIdSource({ server: number })
  const announce = (commands: Waiting[]) => {
    for (const command of commands) bus.announce(command, notificationOf(command, url))
  }
  const engine = makeEngine({
    store,
    plans,
    newId,
    log,
    announce,
    leaseSeconds,
    effectOf: (kind) => EFFECTS[kind] ?? 'idempotent',
    onChildren: (parent, begun) => children.begin(parent, begun),
    onEnded: (executionId, parentId) => children.ended(executionId, parentId),
  })
  const children = makeChildren({ store, plans, engine, log })
  const parts = {
    config: { leaseSeconds } as Config,
    log,
    store,
    bus,
    engine,
    claims: makeClaims({ store, plans, newId, leaseSeconds, glimpse: engine.glimpse }),
    children,
    letters: makeLetters({ store, engine, newId, announce }),
    plans,
    newId,
    announce,
    shown: makeShown(),
    pools: {},
  } as unknown as Parts

  const routes = new Map<string, Handler>()
  const app = {
    post: (path: string, _options: unknown, handle: (request: unknown) => Promise<unknown>) =>
      routes.set(`POST ${path}`, (body) => handle({ body, headers: {} })),
    get: () => {},
    addHook: () => {},
  }
  leaseRoutes(app as unknown as FastifyInstance, parts, '/api/v2')
  waitingRoutes(app as unknown as FastifyInstance, parts, '/api/v2')
  eventBatchRoutes(app as unknown as FastifyInstance, parts, '/api/v2')
  for (const [path, act] of Object.entries(clientActs(parts))) routes.set(`POST ${path}`, act as Handler)
  net.serve(process, url, routes)

  followExhausted({ bus, store, log })
  startUpkeep(
    [
      rescueDuty(parts),
      giveUpDuty(parts),
      announceDuty({
        ...parts,
        places: PLACES,
        afterSeconds: 5,
        shown: parts.shown.take,
        accepts: (command) => bus.accepts(command, notificationOf(command, url)),
      }),
      stalledDuty(parts),
      childrenDuty(parts),
      streamDuty({ bus, store, places: PLACES }),
      consumersDuty({ bus, store, places: PLACES, log }),
    ],
    log,
  )
}

/** What clients and people ask of a server. */
function clientActs({ plans, engine, letters, ...parts }: Parts) {
  const whole = { plans, engine, letters, ...parts }
  return {
    '/start': async ({ catalogId, payload }: { catalogId: string; payload: JsonObject }) =>
      startPlan(whole, await plans.byId(catalogId), { payload, parentExecutionId: null, meta: {} }),
    '/cancel': ({ id }: { id: string }) => engine.cancel(id, 'it is not wanted'),
    '/finalize': ({ id, status }: { id: string; status: 'COMPLETED' | 'FAILED' }) =>
      engine.finalize(id, status, null),
    '/set': ({ id }: { id: string }) => engine.set(id, { outside: 1 }, 'client'),
    '/retry': async ({ id }: { id: string }) => letters.retry(await letters.list({ ids: [id] }, 1)),
    '/resolve': async ({ id, as }: { id: string; as: 'done' | 'dropped' }) => {
      for (const letter of await letters.list({ ids: [id] }, 1)) {
        const resolution = as === 'done' ? { as, result: { value: 'by hand' } } : { as, why: 'given up' }
        await letters.resolve(letter, resolution, 'operator')
      }
    },
  }
}

export interface SimulatedWorker {
  /** As SIGTERM: it drains, hands back what it holds, and ends. */
  stop(graceMs: number): void
}

/** A worker as `core/worker.ts` puts it together. */
export function runWorker(
  process: Process,
  about: Surroundings & { home: string; slots: number },
): SimulatedWorker {
  const { net, stream, home, slots, onRun, onReported } = about
  const log = logOf(process)
  const bus = stream.busOf(process)
  const { name } = process
  const workerId = name.replace(/#.*/, '')
  const servers = makeServers({ url: home, token: undefined, open: net.open(process) })
  const leases = makeLeases({ workerId, servers, log })
  const now = () => new Date().toISOString()
  const credentials = () => Promise.reject(new Error('there are no credentials'))
  const report = makeReports({ workerId, servers, log })
  const taking = takeCommands({
    bus,
    places: PLACES,
    waiting: (place, limit) => askWaiting(servers, { workerId, place, limit }),
    slots,
    leases,
    log,
    async run({ command, signal }) {
      const ended = onRun(process, command.command_id, signal)
      try {
        return await runCommand(command, { tools, log, signal, credentials, keychain: async () => ({}), now })
      } finally {
        ended()
      }
    },
    async report(lease, outcome, startedAt, goOn) {
      const answer = await report(lease, outcome, startedAt, goOn)
      onReported(lease.command.execution_id, lease.command.command_id, answer.outcome)
      return answer
    },
  })
  const ensure = () => void bus.ensure(PLACES).catch(() => {})
  ensure()
  setInterval(ensure, 5000)
  return {
    stop: (graceMs) =>
      process.as(() => {
        void taking.drain(graceMs).then(() => process.kill())
      }),
  }
}
