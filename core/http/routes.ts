import type { FastifyInstance } from 'fastify'
import { catalogRoutes } from './catalog.ts'
import { commandRoutes, leaseRoutes, waitingRoutes } from './commands.ts'
import { credentialRoutes } from './credentials.ts'
import { databaseRoutes } from './database.ts'
import { deadLetterRoutes } from './dead-letters.ts'
import { eventBatchRoutes } from './event-batches.ts'
import { eventRoutes } from './events.ts'
import { executeRoutes } from './execute.ts'
import { executionActRoutes } from './execution-acts.ts'
import { executionRoutes } from './executions.ts'
import { gcpTokenRoutes } from './gcp-token.ts'
import { healthRoutes } from './health.ts'
import { keychainRoutes } from './keychain.ts'
import { logRoutes } from './logs.ts'
import { loopRoutes } from './loops.ts'
import type { Parts } from './parts.ts'
import { queueRoutes } from './queue.ts'
import { queueActRoutes } from './queue-acts.ts'
import { renderRoutes } from './render.ts'
import { replayRoutes } from './replay.ts'
import { resultRoutes } from './results.ts'
import { sqlRoutes } from './sql.ts'
import { statusRoutes } from './status.ts'
import { toolRoutes } from './tools.ts'
import { uiSchemaRoutes } from './ui-schema.ts'
import { varRoutes } from './vars.ts'
import { workerRoutes } from './workers.ts'

/** All routes: those of the protocol under both of its prefixes. */
export function allRoutes(app: FastifyInstance, parts: Parts, version: string): void {
  /** Statements of clients under way, whichever prefix they came by. */
  const running = { count: 0 }
  for (const prefix of ['/api', '/api/v2']) {
    catalogRoutes(app, parts, prefix)
    uiSchemaRoutes(app, parts, prefix)
    executeRoutes(app, parts, prefix)
    executionRoutes(app, parts, prefix)
    executionActRoutes(app, parts, prefix)
    eventRoutes(app, parts, prefix)
    eventBatchRoutes(app, parts, prefix)
    credentialRoutes(app, parts, prefix)
    gcpTokenRoutes(app, parts, prefix)
    keychainRoutes(app, parts, prefix)
    varRoutes(app, parts, prefix)
    resultRoutes(app, parts, prefix)
    logRoutes(app, parts, prefix)
    loopRoutes(app, parts, prefix)
    renderRoutes(app, parts, prefix)
    replayRoutes(app, parts, prefix)
    queueRoutes(app, parts, prefix)
    queueActRoutes(app, parts, prefix)
    sqlRoutes(app, parts, { prefix, running })
    databaseRoutes(app, parts, prefix)
    statusRoutes(app, parts, prefix, version)
    workerRoutes(app, parts, prefix)
    commandRoutes(app, parts, prefix)
  }
  leaseRoutes(app, parts, '/api/v2')
  waitingRoutes(app, parts, '/api/v2')
  deadLetterRoutes(app, parts, '/api/v2')
  toolRoutes(app, parts, '/api/v2')
  healthRoutes(app, parts, version)
}
