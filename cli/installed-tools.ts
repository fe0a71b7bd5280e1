import { type Config, type DescribedTools, describeTools, discoverPlugins, kindsOf } from '@noetl/core'

/** What the plugins installed beside the command line bring; no server is asked. */
export interface InstalledTools extends DescribedTools {
  kinds: string[]
  plugins: { name: string; version: string }[]
}

export async function installedTools(config: Config): Promise<InstalledTools> {
  const broken: InstalledTools['failed'] = []
  const manifests = await discoverPlugins({
    names: config.plugins,
    dir: config.pluginsDir,
    onBroken: (plugin, error) => broken.push({ plugin, kinds: [], why: error.message }),
  })
  const described = await describeTools({
    manifests,
    optionsOf: (kind) => config.worker.toolOptions[kind] ?? {},
  })
  return {
    ...described,
    failed: [...broken, ...described.failed],
    kinds: kindsOf(manifests),
    plugins: manifests.map(({ name, version }) => ({ name, version })),
  }
}

/** What is to be said of plugins that do not load. */
export function failureLines({ failed }: InstalledTools): string[] {
  return failed.map(({ plugin, kinds, why }) =>
    kinds.length === 0
      ? why
      : `The fields of ${kinds.join(', ')} are not checked: ${plugin} does not load: ${why}`,
  )
}
