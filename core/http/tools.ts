import type { FastifyInstance } from 'fastify'
import { playbookSchema } from '../playbook/json-schema.ts'
import type { Parts } from './parts.ts'

/** `/api/v2/tools`: what the tools say of themselves; `/api/v2/playbook-schema`: the language, made of it. */
export function toolRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  /** The tools installed here, and kinds that only workers elsewhere have, of which no more is known. */
  const known = async () => {
    const [tools, kinds] = await Promise.all([parts.tools(), parts.toolKinds()])
    return { tools, undescribed: kinds.filter((kind) => !tools.some((tool) => tool.kind === kind)) }
  }

  app.get(
    `${prefix}/tools`,
    { schema: { summary: 'Tools with the JSON Schemas of their fields and results' } },
    known,
  )

  app.get(
    `${prefix}/playbook-schema`,
    { schema: { summary: 'The language of playbooks as a JSON Schema, for editors' } },
    async (_request, reply) => {
      const { tools, undescribed } = await known()
      reply.type('application/schema+json')
      return playbookSchema(tools, { otherKinds: undescribed })
    },
  )
}
