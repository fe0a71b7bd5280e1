/** The package that brings a tool kind, of those that come with the gateway. */
export const PLUGIN_PACKAGES: Readonly<Record<string, string>> = {
  container: '@noetl/tool-container',
  duckdb: '@noetl/tool-duckdb',
  http: '@noetl/tool-http',
  nats: '@noetl/tool-nats',
  postgres: '@noetl/tool-postgres',
  python: '@noetl/tool-python',
  script: '@noetl/tool-container',
  secrets: '@noetl/tool-secrets',
  shell: '@noetl/tool-shell',
  transfer: '@noetl/tool-transfer',
}

/** What to type for a kind that is missing, as the end of a sentence; nothing for a kind that none of ours brings. */
export function installHint(kind: string): string {
  const name = Object.hasOwn(PLUGIN_PACKAGES, kind) ? PLUGIN_PACKAGES[kind] : undefined
  return name === undefined ? '' : `. ${name} brings it: noetlctl plugins install ${name}`
}
