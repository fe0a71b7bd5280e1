import type { Tool } from '@noetl/core'
import fp from 'fastify-plugin'
import { type TransferToolOptions, transferTool } from './tool.ts'

declare module 'fastify' {
  interface FastifyInstance {
    registerTool(tool: Tool): void
  }
}

export { type TransferToolOptions, transferTool } from './tool.ts'

export default fp<TransferToolOptions>(
  async (app, options) => {
    app.registerTool(transferTool(options))
  },
  { name: '@noetl/tool-transfer', fastify: '5.x', decorators: { fastify: ['registerTool'] } },
)
