import { CONTRACT, defineTool, type JsonObject, loadScript, type Tool, type ToolCall } from '@noetl/core'
import { argsOf, commandOf, scriptCommand } from './command.ts'
import { field } from './fields.ts'
import { containerInput, output, type ScriptInput, scriptInput } from './input.ts'
import { imageOf } from './manifest.ts'
import { type ContainerToolOptions, makeRunner } from './runner.ts'

export type { ContainerToolOptions } from './runner.ts'

/** The container tool: a container run to its end as a Kubernetes Job. */
export function containerTool(
  options: ContainerToolOptions = {},
): Tool<typeof containerInput, typeof output> {
  const runner = makeRunner(options)
  return defineTool({
    kind: 'container',
    contract: CONTRACT,
    input: containerInput,
    output,
    textFields: ['command'],
    effect: 'keyed',
    async run(fields, call) {
      call.signal.throwIfAborted()
      const given = fields as JsonObject
      return runner.run(given, call, {
        kind: 'container',
        job: given,
        command: commandOf(given),
        args: argsOf(given),
      })
    },
    close: runner.close,
  })
}

/** The script tool: a script run by an interpreter of an image, as a Kubernetes Job. */
export function scriptTool(options: ContainerToolOptions = {}): Tool<typeof scriptInput, typeof output> {
  const runner = makeRunner(options)
  return defineTool({
    kind: 'script',
    contract: CONTRACT,
    input: scriptInput,
    output,
    textFields: ['script'],
    effect: 'keyed',
    async run(fields, call) {
      call.signal.throwIfAborted()
      const given = fields as JsonObject
      const { script: _script, job: _job, ...beside } = given
      const job = { ...beside, ...((fields.job ?? {}) as JsonObject) }
      const image = imageOf(job, 'script')
      const { text, uri } = await scriptOf(fields, call)
      const command = scriptCommand({ text, uri, image, command: field(job, 'command'), args: argsOf(job) })
      return runner.run(given, call, { kind: 'script', job, command, args: [] })
    },
    close: runner.close,
  })
}

async function scriptOf({ script }: ScriptInput, call: ToolCall): Promise<{ text: string; uri: string }> {
  if (typeof script === 'string') return { text: script, uri: '' }
  return { text: await loadScript(script, call), uri: script.uri ?? '' }
}
