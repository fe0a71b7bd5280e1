import type { Tool } from '@noetl/core'
import fp from 'fastify-plugin'
import { type NatsToolOptions, natsTool } from './tool.ts'

declare module 'fastify' {
  interface FastifyInstance {
    registerTool(tool: Tool): void
  }
}

export { type NatsToolOptions, natsTool } from './tool.ts'

export default fp<NatsToolOptions>(
  async (app, options) => {
    app.registerTool(natsTool(options))
  },
  { name: '@noetl/tool-nats', fastify: '5.x', decorators: { fastify: ['registerTool'] } },
)
