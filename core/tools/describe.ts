import type { JsonObject } from '../schemas/json.ts'
import type { ToolDescription } from '../schemas/tool-description.ts'
import { BUILT_IN_TOOLS } from './describe-built-in.ts'
import { loadTools, type PluginManifest } from './host.ts'
import type { LoadedTool } from './registry.ts'

/** What the installed tools say of themselves, and the plugins that could not be asked. */
export interface DescribedTools {
  tools: ToolDescription[]
  failed: { plugin: string; kinds: string[]; why: string }[]
}

/**
 * Loads each plugin by itself, reads what its tools say of themselves and lets go of it. A plugin that fails
 * to load takes no other with it: its kinds are known from its manifest, only their fields are not.
 */
export async function describeTools(options: {
  manifests: readonly PluginManifest[]
  optionsOf?: (kind: string) => JsonObject
}): Promise<DescribedTools> {
  const tools = new Map(BUILT_IN_TOOLS.map((tool) => [tool.kind, tool]))
  const failed: DescribedTools['failed'] = []
  for (const manifest of options.manifests) {
    if (!manifest.roles.includes('worker')) continue
    try {
      for (const tool of await describePlugin({ ...options, manifests: [manifest] })) {
        if (!tools.has(tool.kind)) tools.set(tool.kind, tool)
      }
    } catch (error) {
      failed.push({ plugin: manifest.name, kinds: manifest.kinds, why: (error as Error).message })
    }
  }
  return { tools: [...tools.values()].sort((a, b) => (a.kind < b.kind ? -1 : 1)), failed }
}

async function describePlugin(options: Parameters<typeof loadTools>[0]): Promise<ToolDescription[]> {
  const registry = await loadTools(options)
  try {
    return registry.kinds().map((kind) => describe(registry.get(kind)!))
  } finally {
    await registry.close()
  }
}

function describe({ tool, plugin }: LoadedTool): ToolDescription {
  return {
    kind: tool.kind,
    input: plain(tool.input),
    output: plain(tool.output),
    effect: tool.effect,
    textFields: [...(tool.textFields ?? [])],
    plugin: plugin.name,
    version: plugin.version,
  }
}

/** Schemas carry marks that are not JSON. */
function plain(schema: object): JsonObject {
  return JSON.parse(JSON.stringify(schema)) as JsonObject
}

/** Describes the tools when first asked to, once; what failed is handed over then. */
export function describeOnce(
  options: Parameters<typeof describeTools>[0] & { onFailed(failed: DescribedTools['failed'][number]): void },
): () => Promise<readonly ToolDescription[]> {
  let described: Promise<readonly ToolDescription[]> | undefined
  return () => {
    described ??= describeTools(options).then(({ tools, failed }) => {
      for (const one of failed) options.onFailed(one)
      return tools
    })
    return described
  }
}
