import type { Tool } from '@noetl/core'
import fp from 'fastify-plugin'
import { type HttpToolOptions, httpTool } from './tool.ts'

declare module 'fastify' {
  interface FastifyInstance {
    registerTool(tool: Tool): void
  }
}

export { type HttpToolOptions, httpTool } from './tool.ts'

export default fp<HttpToolOptions>(
  async (app, options) => {
    app.registerTool(httpTool(options))
  },
  { name: '@noetl/tool-http', fastify: '5.x', decorators: { fastify: ['registerTool'] } },
)
