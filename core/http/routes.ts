import type { FastifyInstance } from 'fastify'
import { catalogRoutes } from './catalog.ts'
import { commandRoutes, leaseRoutes } from './commands.ts'
import { credentialRoutes } from './credentials.ts'
import { eventRoutes } from './events.ts'
import { executeRoutes } from './execute.ts'
import { executionActRoutes } from './execution-acts.ts'
import { executionRoutes } from './executions.ts'
import { healthRoutes } from './health.ts'
import type { Parts } from './parts.ts'
import { toolRoutes } from './tools.ts'
import { uiSchemaRoutes } from './ui-schema.ts'
import { workerRoutes } from './workers.ts'

/** All routes: those of the protocol under both of its prefixes. */
export function allRoutes(app: FastifyInstance, parts: Parts, version: string): void {
  for (const prefix of ['/api', '/api/v2']) {
    catalogRoutes(app, parts, prefix)
    uiSchemaRoutes(app, parts, prefix)
    executeRoutes(app, parts, prefix)
    executionRoutes(app, parts, prefix)
    executionActRoutes(app, parts, prefix)
    eventRoutes(app, parts, prefix)
    credentialRoutes(app, parts, prefix)
    workerRoutes(app, parts, prefix)
    commandRoutes(app, parts, prefix)
  }
  leaseRoutes(app, parts, '/api/v2')
  toolRoutes(app, parts, '/api/v2')
  healthRoutes(app, parts, version)
}
