import { Type } from 'typebox'
import { CONTRACT, defineTool } from './define.ts'

const input = Type.Object({ result: Type.Optional(Type.Unknown()) }, { additionalProperties: true })

/** The built-in tool that does nothing: gives the rendered `result`, or `{status, message}`. */
export const noopTool = defineTool({
  kind: 'noop',
  contract: CONTRACT,
  input,
  output: Type.Unknown(),
  effect: 'pure',
  async run(fields) {
    const { result } = fields
    return result === undefined ? { status: 'ok', message: 'nothing to do' } : (result as never)
  },
})
