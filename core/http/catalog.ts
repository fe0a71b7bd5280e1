import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { parse as parseYaml } from 'yaml'
import { makeError } from '../errors.ts'
import { compilePlaybook } from '../playbook/compile.ts'
import { describeDocument } from '../playbook/describe.ts'
import { nearest } from '../playbook/faults.ts'
import { isObject, type Json } from '../schemas/json.ts'
import {
  addCatalogEntry,
  type CatalogEntry,
  getCatalogEntry,
  listCatalog,
  listPaths,
} from '../store/catalog.ts'
import type { Parts } from './parts.ts'
import { Id, idText } from './shapes.ts'

const Register = Type.Object({
  content: Type.String({ minLength: 1 }),
  resource_type: Type.Optional(Type.String()),
})
const List = Type.Object({
  resource_type: Type.Optional(Type.String()),
  include_archived: Type.Optional(Type.Boolean()),
})
const Version = Type.Union([Type.Integer({ minimum: 1 }), Type.String(), Type.Null()])
const Resource = Type.Object({
  catalog_id: Type.Optional(Id),
  path: Type.Optional(Type.String()),
  version: Type.Optional(Version),
})

/** `/api/catalog/…` and `/api/v2/catalog/…`. */
export function catalogRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.post<{ Body: Static<typeof Register> }>(
    `${prefix}/catalog/register`,
    { schema: { body: Register, summary: 'Stores a playbook as the next version of its path' } },
    async (request) => {
      const { entry, warnings } = await register(parts, decodeContent(request.body.content))
      return {
        status: 'success',
        message: `${entry.kind} '${entry.path}' version '${entry.version}' registered`,
        path: entry.path,
        version: entry.version,
        catalog_id: entry.catalog_id,
        kind: entry.kind,
        warnings,
      }
    },
  )

  app.post<{ Body: Static<typeof Register> }>(
    `${prefix}/catalog/validate`,
    { schema: { body: Register, summary: 'Checks a playbook as register would, and stores nothing' } },
    async (request) => {
      const content = decodeContent(request.body.content)
      const { warnings } = compilePlaybook(content, { toolKinds: await parts.toolKinds() })
      return { status: 'success', ...describeDocument(content), warnings }
    },
  )

  app.post<{ Body: Static<typeof List> }>(
    `${prefix}/catalog/list`,
    { schema: { body: List, summary: 'Entries of the catalog, newest first' } },
    async (request) => {
      const kind = request.body.resource_type
      const entries = await listCatalog(parts.pools.durable, { limit: 1000, ...(kind ? { kind } : {}) })
      return { entries: entries.map(presentEntry) }
    },
  )

  app.post<{ Body: Static<typeof Resource> }>(
    `${prefix}/catalog/resource`,
    { schema: { body: Resource, summary: 'One entry, by id or by path and version' } },
    async (request) => presentEntry(await findEntry(parts, request.body)),
  )
}

/** Compiles and stores. The text is kept as it was given; kinds other than Playbook are stored unseen. */
async function register(
  parts: Parts,
  content: string,
): Promise<{
  entry: { path: string; version: number; catalog_id: string; kind: string }
  warnings: unknown
}> {
  const about = describeDocument(content)
  let payload: Json = null
  let warnings: unknown = []
  if (about.kind.toLowerCase() === 'playbook') {
    const compiled = compilePlaybook(content, { toolKinds: await parts.toolKinds() })
    payload = compiled.playbook.workload
    warnings = compiled.warnings
  }
  const catalog_id = parts.newId()
  const version = await addCatalogEntry(parts.pools.durable, {
    catalog_id,
    path: about.path,
    kind: about.kind,
    content,
    payload,
    meta: { name: about.name },
  })
  return { entry: { path: about.path, version, catalog_id, kind: about.kind }, warnings }
}

/** The entry a request names; a 404 with near names when there is none. */
export async function findEntry(
  parts: Parts,
  key: { catalog_id?: string | number; path?: string; version?: string | number | null },
): Promise<CatalogEntry> {
  const pool = parts.pools.durable
  if (key.catalog_id !== undefined) {
    const entry = await getCatalogEntry(pool, { catalogId: idText(key.catalog_id) })
    if (entry === undefined) {
      throw makeError('NOETL_ERR_PLAYBOOK_NOT_FOUND', [`catalog id ${key.catalog_id}`, ''])
    }
    return entry
  }
  const { path } = key
  if (path === undefined) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', ['body must have path or catalog_id; seen: neither'])
  }
  const version = readVersion(key.version)
  const entry = await getCatalogEntry(pool, { path, ...(version === undefined ? {} : { version }) })
  if (entry !== undefined) return entry
  const paths = await listPaths(pool)
  const known = paths.includes(path)
  const near = known ? [] : nearest(path, paths)
  const hint = known
    ? ` The path is there, version ${version} is not.`
    : near.length > 0
      ? ` Near: ${near.join(', ')}.`
      : ' Register it with: noetlctl playbook register <file>'
  throw makeError('NOETL_ERR_PLAYBOOK_NOT_FOUND', [path, hint], { details: { path, near } })
}

function readVersion(version: string | number | null | undefined): number | undefined {
  if (version === undefined || version === null || version === 'latest') return undefined
  const number = Number(version)
  if (Number.isInteger(number) && number > 0) return number
  throw makeError('NOETL_ERR_REQUEST_INVALID', [
    `body/version must be a whole number or "latest"; seen: ${JSON.stringify(version)}`,
  ])
}

/** Content is YAML, plain or in base64: base64 if it decodes strictly and the result is a mapping. */
function decodeContent(content: string): string {
  const compact = content.replace(/\s+/g, '')
  if (compact.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(compact)) {
    const bytes = Buffer.from(compact, 'base64')
    const text = bytes.toString('utf8')
    try {
      if (Buffer.from(text, 'utf8').equals(bytes) && isObject(parseYaml(text))) return text
    } catch {
      return bytes.includes(58) ? text : content
    }
  }
  return content
}

function presentEntry(entry: CatalogEntry): object {
  return {
    catalog_id: entry.catalog_id,
    path: entry.path,
    kind: entry.kind,
    version: entry.version,
    content: entry.content,
    layout: null,
    payload: entry.payload,
    meta: entry.meta,
    created_at: entry.created_at,
  }
}
