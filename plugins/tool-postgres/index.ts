import type { Tool } from '@noetl/core'
import fp from 'fastify-plugin'
import { type PostgresToolOptions, postgresTool } from './tool.ts'

declare module 'fastify' {
  interface FastifyInstance {
    registerTool(tool: Tool): void
  }
}

export { type PostgresToolOptions, postgresTool } from './tool.ts'

export default fp<PostgresToolOptions>(
  async (app, options) => {
    app.registerTool(postgresTool(options))
  },
  { name: '@noetl/tool-postgres', fastify: '5.x', decorators: { fastify: ['registerTool'] } },
)
