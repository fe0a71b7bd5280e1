import type { Gateway } from '@noetl/core'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type Instruments, makeInstruments } from './instruments.ts'
import { aboutProcess } from './process.ts'
import { aboutRequests } from './requests.ts'
import { aboutServer } from './server.ts'
import { aboutWorker } from './worker.ts'

declare module 'fastify' {
  interface FastifyInstance {
    noetl: Gateway
  }
}

export { CONTRACT, type Metric, type MetricName } from './contract.ts'

export interface MetricsOptions {
  /** Where they are served. Default: `/metrics`. */
  path?: string
}

/** Kinds that commands have beside those of plugins. */
const OTHER_KINDS = ['noop', 'artifact', 'playbook', 'workbook', 'task_sequence']

export default fp<MetricsOptions>(
  async (app, { path = '/metrics' }) => {
    const { noetl } = app
    if (typeof path !== 'string' || !/^\/[\w./-]*$/.test(path)) {
      throw new Error(`its option "path" is ${JSON.stringify(path)}; a path such as "/metrics" was expected`)
    }
    const kinds = [...new Set([...OTHER_KINDS, ...noetl.plugins.flatMap((plugin) => plugin.kinds)])].sort()
    const instruments = makeInstruments(noetl.role, kinds)
    const about = aboutProcess(noetl, instruments)
    app.addHook('onClose', async () => about.close())
    const role = aboutRole(app, instruments)
    app.get(path, { schema: { summary: 'Metrics for Prometheus' } }, async (_request, reply) => {
      about.look()
      await role.look()
      return reply.type(instruments.registry.contentType).send(await instruments.registry.metrics())
    })
  },
  { name: '@noetl/metrics', fastify: '5.x', decorators: { fastify: ['noetl'] } },
)

function aboutRole(app: FastifyInstance, instruments: Instruments): { look(): void | Promise<void> } {
  const { noetl } = app
  if (noetl.role === 'worker') return aboutWorker(noetl, instruments)
  aboutRequests(app, instruments)
  return aboutServer(noetl, instruments)
}
