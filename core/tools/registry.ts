import { Ajv, type ValidateFunction } from 'ajv'
import { makeError } from '../errors.ts'
import type { Json } from '../schemas/json.ts'
import type { Tool } from './define.ts'

/** Which plugin brought a tool: told in the events of every command that it ran. */
export interface PluginName {
  name: string
  version: string
}

/** A tool with its schemas compiled. */
export interface LoadedTool {
  tool: Tool
  plugin: PluginName
  /** What does not fit, in words; undefined when all does. */
  checkInput(value: Json): string | undefined
  checkOutput(value: Json): string | undefined
}

/** The tools of one worker, by kind. */
export interface ToolRegistry {
  /** All tools of a plugin or none; throws NOETL_ERR_PLUGIN_KIND_TAKEN or NOETL_ERR_PLUGIN_SCHEMA. */
  register(tools: Tool | readonly Tool[], plugin: PluginName): void
  get(kind: string): LoadedTool | undefined
  kinds(): string[]
  /** Closes every tool; safe twice. */
  close(): Promise<void>
}

export function makeToolRegistry(): ToolRegistry {
  const ajv = new Ajv({ strict: false, verbose: true, allErrors: false })
  const tools = new Map<string, LoadedTool>()
  return {
    register(given, { name, version }) {
      const list: readonly Tool[] = 'kind' in given ? [given] : given
      const compiled = list.map((tool): LoadedTool => {
        const there = tools.get(tool.kind)
        if (there !== undefined)
          throw makeError('NOETL_ERR_PLUGIN_KIND_TAKEN', [there.plugin.name, name, tool.kind])
        try {
          const checkInput = checker(ajv.compile(tool.input))
          return {
            tool,
            plugin: { name, version },
            checkInput,
            checkOutput: checker(ajv.compile(tool.output)),
          }
        } catch (cause) {
          throw makeError('NOETL_ERR_PLUGIN_SCHEMA', [name, tool.kind, (cause as Error).message], { cause })
        }
      })
      for (const loaded of compiled) tools.set(loaded.tool.kind, loaded)
    },
    get: (kind) => tools.get(kind),
    kinds: () => [...tools.keys()].sort(),
    async close() {
      await Promise.all([...tools.values()].map(({ tool }) => tool.close?.()))
    },
  }
}

/** Names the place and what was expected, never the value: it may be a secret. */
function checker(validate: ValidateFunction): (value: Json) => string | undefined {
  return (value) => {
    if (validate(value)) return undefined
    const error = validate.errors?.[0]
    const place = error?.instancePath.slice(1).replaceAll('/', '.') ?? ''
    return `${place === '' ? 'it' : place} ${error?.message ?? 'does not fit'}${seen(error?.data)}`
  }
}

function seen(value: unknown): string {
  if (value === undefined) return ''
  const type = value === null ? 'null' : Array.isArray(value) ? 'a list' : `a value of type ${typeof value}`
  return `; seen: ${type}`
}
