import type { FastifyInstance } from 'fastify'
import type { Parts } from './parts.ts'

/** `/api/v2/tools`: what the tools say of themselves. */
export function toolRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.get(
    `${prefix}/tools`,
    { schema: { summary: 'Tools with the JSON Schemas of their fields and results' } },
    async () => {
      const tools = await parts.tools()
      const kinds = await parts.toolKinds()
      return { tools, undescribed: kinds.filter((kind) => !tools.some((tool) => tool.kind === kind)) }
    },
  )
}
