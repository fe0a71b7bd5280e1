import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { type ErrorCode, isNoetlError, makeError } from '../errors.ts'
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
  onBroken?: OnBroken | undefined
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
      onBroken(/(@[^/\\]+[/\\])?[^/\\]+$/.exec(folder)?.[0] ?? folder, error)
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

/**
 * Loads the tools of all plugins with the role `worker`. `optionsOf` gives each kind's own options. A plugin that
 * cannot be used is told to `onBroken` and left out; without it the first one is thrown.
 */
export async function loadTools(options: {
  manifests: readonly PluginManifest[]
  optionsOf?: (kind: string) => JsonObject
  onBroken?: OnBroken | undefined
  /** How long a plugin may take to load, in milliseconds. */
  loadLimitMs?: number
}): Promise<ToolRegistry> {
  const { manifests, optionsOf, onBroken, loadLimitMs = LOAD_LIMIT_MS } = options
  const registry = makeToolRegistry()
  registry.register(noopTool, { name: '@noetl/core', version: String(CONTRACT) })
  try {
    for (const manifest of manifests) {
      if (!manifest.roles.includes('worker') || isExtension(manifest)) continue
      const settings = Object.assign({}, ...manifest.kinds.map((kind) => optionsOf?.(kind) ?? {}))
      try {
        registry.register(await toolsOf(manifest, settings, loadLimitMs), manifest)
      } catch (error) {
        if (onBroken === undefined || !isNoetlError(error)) throw error
        onBroken(manifest.name, error)
      }
    }
  } catch (error) {
    await registry.close()
    throw error
  }
  return registry
}

/** On an app of its own, for one that a plugin has failed on takes no other. */
async function toolsOf(manifest: PluginManifest, settings: JsonObject, loadLimitMs: number): Promise<Tool[]> {
  const tools: Tool[] = []
  const app = fastify({ logger: false, pluginTimeout: loadLimitMs })
  app.decorate('registerTool', (tool: Tool) => {
    if (tool.contract !== CONTRACT)
      throw makeError('NOETL_ERR_PLUGIN_CONTRACT', [manifest.name, tool.contract, CONTRACT])
    tools.push(tool)
  })
  try {
    await loadOne(app, manifest, settings, loadLimitMs)
    const kinds = tools.map((tool) => tool.kind).sort()
    if (kinds.join() !== [...manifest.kinds].sort().join()) {
      throw makeError('NOETL_ERR_PLUGIN_KIND_UNDECLARED', [
        manifest.name,
        kinds.join(', ') || '(none)',
        manifest.kinds.join(', ') || '(none)',
      ])
    }
    return tools
  } catch (error) {
    await Promise.all(tools.map((tool) => tool.close?.()))
    throw error
  } finally {
    // One that failed while it was loaded is told again when its app closes.
    await app.close().catch(() => {})
  }
}

const LOAD_LIMIT_MS = 10_000

/** A plugin without tool kinds extends the process itself: see `extend.ts`. */
export function isExtension({ kinds }: PluginManifest): boolean {
  return kinds.length === 0
}

/** Runs a plugin's code on an app; throws the NOETL_ERR_PLUGIN_* that says why it cannot be used. */
export async function loadOne(
  app: FastifyInstance,
  manifest: PluginManifest,
  settings: JsonObject,
  limitMs = LOAD_LIMIT_MS,
): Promise<void> {
  const late = Symbol('late')
  const timer = Promise.withResolvers<typeof late>()
  const timeout = setTimeout(() => timer.resolve(late), limitMs)
  try {
    const ended = await Promise.race([importInto(app, manifest, settings), timer.promise])
    if (ended === late) throw makeError('NOETL_ERR_PLUGIN_TIMEOUT', [manifest.name, limitMs / 1000])
  } catch (cause) {
    if (isNoetlError(cause)) throw cause
    const { code, message } = cause as Error & { code?: string }
    if (code === 'AVV_ERR_PLUGIN_EXEC_TIMEOUT' || code === 'FST_ERR_PLUGIN_TIMEOUT')
      throw makeError('NOETL_ERR_PLUGIN_TIMEOUT', [manifest.name, limitMs / 1000], { cause })
    const known =
      CODES[code ?? ''] ?? (/^The dependency '/.test(message) ? 'NOETL_ERR_PLUGIN_DEPENDENCY' : null)
    throw makeError(known ?? 'NOETL_ERR_PLUGIN_LOAD', [manifest.name, message], { cause })
  } finally {
    clearTimeout(timeout)
  }
}

/** What Fastify refuses, by its own codes. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_PLUGIN_VERSION_MISMATCH: 'NOETL_ERR_PLUGIN_FASTIFY_RANGE',
  FST_ERR_PLUGIN_NOT_PRESENT_IN_INSTANCE: 'NOETL_ERR_PLUGIN_DEPENDENCY',
  FST_ERR_DEC_MISSING_DEPENDENCY: 'NOETL_ERR_PLUGIN_DEPENDENCY',
}

async function importInto(
  app: FastifyInstance,
  manifest: PluginManifest,
  settings: JsonObject,
): Promise<void> {
  const entry = createRequire(join(manifest.folder, 'package.json')).resolve(manifest.name)
  const module: { default?: unknown } = await import(pathToFileURL(entry).href)
  if (typeof module.default !== 'function')
    throw new Error('its default export is no fastify-plugin function')
  await app.register(module.default as FastifyPluginAsync<JsonObject>, settings)
  // Loads now, so that a fault is this plugin's.
  await app.after()
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
