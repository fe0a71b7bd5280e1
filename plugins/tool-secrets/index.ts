import type { Tool } from '@noetl/core'
import fp from 'fastify-plugin'
import { type SecretsToolOptions, secretsTool } from './tool.ts'

declare module 'fastify' {
  interface FastifyInstance {
    registerTool(tool: Tool): void
  }
}

export { type SecretsToolOptions, secretsTool } from './tool.ts'

export default fp<SecretsToolOptions>(
  async (app, options) => {
    app.registerTool(secretsTool(options))
  },
  { name: '@noetl/tool-secrets', fastify: '5.x', decorators: { fastify: ['registerTool'] } },
)
