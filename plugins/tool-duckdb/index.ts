import type { Tool } from '@noetl/core'
import fp from 'fastify-plugin'
import { type DuckdbToolOptions, duckdbTool, ducklakeTool } from './tool.ts'

declare module 'fastify' {
  interface FastifyInstance {
    registerTool(tool: Tool): void
  }
}

export { type DuckdbToolOptions, duckdbTool, ducklakeTool } from './tool.ts'

export default fp<DuckdbToolOptions>(
  async (app, options) => {
    app.registerTool(duckdbTool(options))
    app.registerTool(ducklakeTool(options))
  },
  { name: '@noetl/tool-duckdb', fastify: '5.x', decorators: { fastify: ['registerTool'] } },
)
