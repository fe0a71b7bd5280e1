import type { Tool } from '@noetl/core'
import fp from 'fastify-plugin'
import { type ContainerToolOptions, containerTool, scriptTool } from './tool.ts'

declare module 'fastify' {
  interface FastifyInstance {
    registerTool(tool: Tool): void
  }
}

export { type ContainerToolOptions, containerTool, scriptTool } from './tool.ts'

export default fp<ContainerToolOptions>(
  async (app, options) => {
    app.registerTool(containerTool(options))
    app.registerTool(scriptTool(options))
  },
  { name: '@noetl/tool-container', fastify: '5.x', decorators: { fastify: ['registerTool'] } },
)
