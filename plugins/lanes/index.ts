import type { Gateway } from '@noetl/core'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type LanesOptions, readOptions } from './options.ts'
import { makeShare } from './share.ts'

declare module 'fastify' {
  interface FastifyInstance {
    noetl: Gateway
  }
}

export type { LaneOptions, LanesOptions } from './options.ts'
export { makeShare, turnsOf } from './share.ts'

export default fp<LanesOptions>(
  async (app: FastifyInstance, options) => {
    const lanes = readOptions(options)
    app.noetl.bringLanes({ lanes: lanes.map(({ name }) => name), share: makeShare(lanes) })
  },
  { name: '@noetl/lanes', fastify: '5.x', decorators: { fastify: ['noetl'] } },
)
