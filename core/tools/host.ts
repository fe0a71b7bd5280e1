import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { isNoetlError, makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { checkCoreRange, checkDigest, type OnBroken } from './check-plugin.ts'
import { CONTRACT, type Tool } from './define.ts'
import { folderIn, readLock } from './lock.ts'
import { noopTool } from './noop.ts'
import { makeToolRegistry, type ToolRegistry } from './registry.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** For tool plugins: adds a tool to the worker that loads them. */
    registerTool(tool: Tool): void
  }
}

/**
 * The plugin host. A plugin is a package whose package.json says under `noetl` what it brings; it is read
 * before any of its code runs, so that what does not fit is refused by name and reason.
 */
export interface PluginManifest {
  name: string
  version: string
  contract: number
  kinds: string[]
  roles: string[]
  /** Versions of the core that it is made for. */
  coreRange: string | undefined
  /** Folder of the package. */
  folder: string
}

/** Kinds that need no plugin. */
export const BUILT_IN_KINDS: readonly string[] = ['artifact', 'noop', 'playbook', 'workbook']

/**
 * Manifests of the plugins to load: those named (package names or folders), or with no name all packages
 * called `@noetl/…` or `noetl-…` that are installed where `from` can import them, and all that are locked in
 * `dir`, where `noetlctl plugins` installs. Of two with one name the first is taken.
 */
export async function discoverPlugins(options: {
  names: readonly string[]
  from?: readonly string[]
  dir?: string | undefined
  /** Is told of a plugin that cannot be used, which is left out; without it the first one is thrown. */
  onBroken?: OnBroken
}): Promise<PluginManifest[]> {
  const { dir, onBroken, names } = options
  const beside = options.from ?? [fileURLToPath(import.meta.url), join(process.cwd(), 'package.json')]
  const lock = dir === undefined ? {} : await readLock(dir)
  const locked = new Map(Object.keys(lock).map((name) => [folderIn(dir ?? '', name), lock[name]]))
  const from = dir === undefined ? beside : [...beside, join(dir, 'package.json')]
  const found = new Map<string, PluginManifest>()

  async function look(folder: string, named: boolean): Promise<void> {
    try {
      const manifest = await readManifest(folder)
      if (found.has(manifest.name)) return
      checkCoreRange(manifest)
      const pin = locked.get(folder)
      if (pin !== undefined) await checkDigest(manifest, pin)
      found.set(manifest.name, manifest)
    } catch (error) {
      if (!isNoetlError(error)) throw error
      const isPlugin = named || locked.has(folder) || error.code !== 'NOETL_ERR_PLUGIN_MANIFEST'
      if (!isPlugin) return
      if (onBroken === undefined) throw error
      onBroken(folder, error)
    }
  }

  if (names.length > 0) {
    for (const name of names) await look(await folderOf(name, from), true)
    return [...found.values()]
  }
  for (const folder of new Set(beside.flatMap(moduleFolders)))
    for (const candidate of await candidates(folder)) await look(candidate, false)
  for (const folder of locked.keys()) await look(folder, false)
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Kinds that playbooks may use with these plugins. */
export function kindsOf(manifests: readonly PluginManifest[]): string[] {
  return [...new Set([...BUILT_IN_KINDS, ...manifests.flatMap((manifest) => manifest.kinds)])].sort()
}

/** Reads and checks a package's manifest; throws NOETL_ERR_PLUGIN_MANIFEST or NOETL_ERR_PLUGIN_CONTRACT. */
export async function readManifest(folder: string): Promise<PluginManifest> {
  let content: unknown
  try {
    content = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  } catch (cause) {
    throw makeError('NOETL_ERR_PLUGIN_MANIFEST', [folder, 'its package.json cannot be read'], { cause })
  }
  const about: JsonObject = isObject(content) ? content : {}
  const name = typeof about.name === 'string' ? about.name : folder
  const { noetl } = about
  const refuse = (why: string) => makeError('NOETL_ERR_PLUGIN_MANIFEST', [name, why])
  if (!isObject(noetl)) throw refuse('its package.json has no "noetl": {"contract", "kinds", "roles"}')
  if (typeof about.version !== 'string') throw refuse('it has no version')
  if (!isTextList(noetl.kinds) || !isTextList(noetl.roles))
    throw refuse('"kinds" and "roles" must be lists of names')
  if (noetl.contract !== CONTRACT) {
    throw makeError('NOETL_ERR_PLUGIN_CONTRACT', [name, JSON.stringify(noetl.contract ?? null), CONTRACT])
  }
  return {
    name,
    version: about.version,
    contract: CONTRACT,
    kinds: noetl.kinds,
    roles: noetl.roles,
    coreRange: coreRangeOf(about),
    folder,
  }
}

/** Loads the tools of all plugins with the role `worker`. `optionsOf` gives each kind's own options. */
export async function loadTools(options: {
  manifests: readonly PluginManifest[]
  optionsOf?: (kind: string) => JsonObject
}): Promise<ToolRegistry> {
  const registry = makeToolRegistry()
  registry.register(noopTool, { name: '@noetl/core', version: String(CONTRACT) })
  const app = fastify({ logger: false })
  let loading: { manifest: PluginManifest; kinds: string[] } | undefined
  app.decorate('registerTool', (tool: Tool) => {
    if (loading === undefined) throw new Error('registerTool was called outside of a plugin')
    if (tool.contract !== CONTRACT) {
      throw makeError('NOETL_ERR_PLUGIN_CONTRACT', [loading.manifest.name, tool.contract, CONTRACT])
    }
    loading.kinds.push(tool.kind)
    registry.register(tool, { name: loading.manifest.name, version: loading.manifest.version })
  })
  try {
    for (const manifest of options.manifests) {
      if (!manifest.roles.includes('worker') || isExtension(manifest)) continue
      loading = { manifest, kinds: [] }
      const settings = Object.assign({}, ...manifest.kinds.map((kind) => options.optionsOf?.(kind) ?? {}))
      await loadOne(app, manifest, settings)
      if (loading.kinds.sort().join() !== [...manifest.kinds].sort().join()) {
        throw makeError('NOETL_ERR_PLUGIN_KIND_UNDECLARED', [
          manifest.name,
          loading.kinds.join(', ') || '(none)',
          manifest.kinds.join(', ') || '(none)',
        ])
      }
    }
  } catch (error) {
    await registry.close()
    throw error
  } finally {
    loading = undefined
    await app.close()
  }
  return registry
}

/** A plugin without tool kinds extends the process itself: see `extend.ts`. */
export function isExtension({ kinds }: PluginManifest): boolean {
  return kinds.length === 0
}

/** Runs a plugin's code on an app; throws NOETL_ERR_PLUGIN_LOAD, or what the plugin threw of ours. */
export async function loadOne(
  app: FastifyInstance,
  manifest: PluginManifest,
  settings: JsonObject,
): Promise<void> {
  try {
    const entry = createRequire(join(manifest.folder, 'package.json')).resolve(manifest.name)
    const module: { default?: unknown } = await import(pathToFileURL(entry).href)
    if (typeof module.default !== 'function')
      throw new Error('its default export is no fastify-plugin function')
    await app.register(module.default as FastifyPluginAsync<JsonObject>, settings)
    // Loads now, so that a fault is this plugin's.
    await app.after()
  } catch (cause) {
    if (isNoetlError(cause)) throw cause
    throw makeError('NOETL_ERR_PLUGIN_LOAD', [manifest.name, (cause as Error).message], { cause })
  }
}

async function folderOf(name: string, from: readonly string[]): Promise<string> {
  if (name.startsWith('.') || name.startsWith('/')) return resolve(name)
  for (const place of from.flatMap(moduleFolders)) {
    const folder = join(place, name)
    if (
      await readFile(join(folder, 'package.json')).then(
        () => true,
        () => false,
      )
    )
      return folder
  }
  throw makeError('NOETL_ERR_PLUGIN_NOT_FOUND', [name, from.map(dirname).join(' or ')])
}

function moduleFolders(file: string): string[] {
  return createRequire(pathToFileURL(file)).resolve.paths('x') ?? []
}

async function candidates(folder: string): Promise<string[]> {
  const list = (place: string) => readdir(place).catch((): string[] => [])
  const scoped = (await list(join(folder, '@noetl'))).map((name) => join(folder, '@noetl', name))
  const plain = (await list(folder))
    .filter((name) => name.startsWith('noetl-'))
    .map((name) => join(folder, name))
  return [...scoped, ...plain]
}

function coreRangeOf({ peerDependencies }: JsonObject): string | undefined {
  const range = isObject(peerDependencies) ? peerDependencies['@noetl/core'] : undefined
  return typeof range === 'string' ? range : undefined
}

function isTextList(value: Json | undefined): value is string[] {
  return Array.isArray(value) && value.every((part) => typeof part === 'string' && part !== '')
}
