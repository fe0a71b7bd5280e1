import type { Tool } from '@noetl/core'
import fp from 'fastify-plugin'
import { type ShellToolOptions, shellTool } from './tool.ts'

declare module 'fastify' {
  interface FastifyInstance {
    registerTool(tool: Tool): void
  }
}

export { type ShellToolOptions, shellTool } from './tool.ts'

export default fp<ShellToolOptions>(
  async (app, options) => {
    app.registerTool(shellTool(options))
  },
  { name: '@noetl/tool-shell', fastify: '5.x', decorators: { fastify: ['registerTool'] } },
)
