import { type DescribedTools, describeTools, discoverPlugins, kindsOf } from '@noetl/core'
import { configOf } from './base-command.ts'

/** What the plugins installed beside the command line bring; no server is asked. */
export interface InstalledTools extends DescribedTools {
  kinds: string[]
  plugins: { name: string; version: string }[]
}

export async function installedTools(): Promise<InstalledTools> {
  const config = configOf({})
  const manifests = await discoverPlugins({ names: config.plugins })
  const described = await describeTools({
    manifests,
    optionsOf: (kind) => config.worker.toolOptions[kind] ?? {},
  })
  return {
    ...described,
    kinds: kindsOf(manifests),
    plugins: manifests.map(({ name, version }) => ({ name, version })),
  }
}

/** What is to be said of plugins that do not load. */
export function failureLines({ failed }: InstalledTools): string[] {
  return failed.map(
    ({ plugin, kinds, why }) =>
      `The fields of ${kinds.join(', ')} are not checked: ${plugin} does not load: ${why}`,
  )
}
