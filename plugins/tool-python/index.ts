import type { Tool } from '@noetl/core'
import fp from 'fastify-plugin'
import { type PythonToolOptions, pythonTool } from './tool.ts'

declare module 'fastify' {
  interface FastifyInstance {
    registerTool(tool: Tool): void
  }
}

export { type PythonToolOptions, pythonTool } from './tool.ts'

export default fp<PythonToolOptions>(
  async (app, options) => {
    app.registerTool(pythonTool(options))
  },
  { name: '@noetl/tool-python', fastify: '5.x', decorators: { fastify: ['registerTool'] } },
)
