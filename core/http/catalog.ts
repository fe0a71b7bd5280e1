import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError, type NoetlError } from '../errors.ts'
import { nearest, shownName } from '../playbook/faults.ts'
import { readText } from '../playbook/read-aside.ts'
import type { Submitted } from '../playbook/submission.ts'
import {
  addCatalogEntry,
  archiveEntries,
  type CatalogEntry,
  getCatalogEntry,
  listCatalog,
  listPaths,
} from '../store/catalog.ts'
import type { Parts } from './parts.ts'
import { Id, IdParams, idText, Maybe, Version } from './shapes.ts'

const Kind = Maybe(Type.String({ maxLength: 100 }))
const Register = Type.Object({ content: Type.String({ minLength: 1 }), resource_type: Kind })
const List = Type.Union([
  Type.Object({
    resource_type: Kind,
    include_archived: Maybe(Type.Boolean()),
    limit: Maybe(Type.Integer({ minimum: 1, maximum: 1000 })),
    offset: Maybe(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
  }),
  Type.Null(),
])
const Resource = Type.Object({
  catalog_id: Type.Optional(Id),
  path: Type.Optional(Type.String()),
  version: Version,
})
const Archive = Type.Object({ path: Type.String({ minLength: 1 }), version: Version })
const CatalogId = Type.Object({ catalog_id: IdParams.properties.id })

const MAX_VERSION = 2_147_483_647

/** `/api/catalog/…` and `/api/v2/catalog/…`. */
export function catalogRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable

  app.post<{ Body: Static<typeof Register> }>(
    `${prefix}/catalog/register`,
    { schema: { body: Register, summary: 'Stores a playbook as the next version of its path' } },
    async (request) => {
      const { text: content, about, workload, warnings } = await read(parts, request.body, true)
      const { path, kind, name } = about
      const catalog_id = parts.newId()
      // The text is kept as it was given.
      const entry = { catalog_id, path, kind, content, payload: workload, meta: { name } }
      const version = await addCatalogEntry(pool, entry)
      const message = `${kind} '${path}' version '${version}' registered`
      return { status: 'success', message, path, version, catalog_id, kind, warnings }
    },
  )

  app.post<{ Body: Static<typeof Register> }>(
    `${prefix}/catalog/validate`,
    { schema: { body: Register, summary: 'Checks a playbook as register would, and stores nothing' } },
    async (request) => {
      const { about, warnings } = await read(parts, request.body, false)
      return { status: 'success', ...about, warnings }
    },
  )

  app.post<{ Body: Static<typeof List> }>(
    `${prefix}/catalog/list`,
    { schema: { body: List, summary: 'Entries of the catalog, newest first' } },
    async (request) => {
      const { resource_type: kind, include_archived, limit, offset } = request.body ?? {}
      const entries = await listCatalog(pool, {
        limit: limit ?? 1000,
        offset: offset ?? 0,
        archived: include_archived === true,
        ...(kind ? { kind } : {}),
      })
      return { entries: entries.map(presentEntry) }
    },
  )

  app.post<{ Body: Static<typeof Resource> }>(
    `${prefix}/catalog/resource`,
    { schema: { body: Resource, summary: 'One entry, by id or by path and version' } },
    async (request) => {
      // A version that is named may have been put away; the newest is the newest of those in use.
      const archived = readVersion(request.body.version) !== undefined
      return presentEntry(await findEntry(parts, request.body, { archived }))
    },
  )

  app.get<{ Params: Static<typeof CatalogId> }>(
    `${prefix}/catalog/:catalog_id`,
    { schema: { params: CatalogId, summary: 'One entry, by its id' } },
    async (request) => presentEntry(await findEntry(parts, request.params)),
  )

  for (const [word, archived] of [
    ['delete', true],
    ['restore', false],
  ] as const) {
    app.post<{ Body: Static<typeof Archive> }>(
      `${prefix}/catalog/${word}`,
      {
        schema: {
          body: Archive,
          summary: archived ? 'Puts one version of a path, or all, away' : 'Brings back what was put away',
        },
      },
      async (request) => {
        const { path, version: written } = request.body
        const version = readVersion(written)
        const key = { path, ...(version === undefined ? {} : { version }) }
        const { found, versions } = await archiveEntries(pool, { ...key, archived })
        if (found === 0) throw await notFound(parts, path, version)
        const what = archived ? 'archived' : 'restored'
        const message = `${versions.length} of ${found} versions of '${path}' ${what}`
        return { status: 'success', message, path, versions, count: versions.length }
      },
    )
  }
}

/** Reads and checks what came in, with the limits and the tools of this server. */
async function read(
  parts: Parts,
  { content, resource_type }: Static<typeof Register>,
  register: boolean,
): Promise<Submitted> {
  const [toolKinds, tools] = await Promise.all([parts.toolKinds(), parts.tools()])
  const { limits } = parts.config.playbook
  const resourceType = resource_type ? { resourceType: resource_type } : {}
  return readText(
    'submission',
    { content, register, ...resourceType, limits, toolKinds, tools, lanes: parts.lanes.names },
    content.length,
  )
}

/** The entry a request names; a 404 with near names when there is none. */
export async function findEntry(
  parts: Parts,
  key: { catalog_id?: string | number; path?: string; version?: string | number | null },
  { archived = false }: { archived?: boolean } = {},
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
  const entry = await getCatalogEntry(pool, { path, archived, ...(version === undefined ? {} : { version }) })
  if (entry !== undefined) return entry
  throw await notFound(parts, path, version)
}

async function notFound(parts: Parts, path: string, version: number | undefined): Promise<NoetlError> {
  const paths = await listPaths(parts.pools.durable)
  const known = paths.includes(path)
  const near = known ? [] : nearest(path, paths)
  const hint = known
    ? ` The path is there, version ${version} is not.`
    : near.length > 0
      ? ` Near: ${near.join(', ')}.`
      : ' Register it with: noetlctl playbook register <file>'
  const shown = shownName(path)
  return makeError('NOETL_ERR_PLAYBOOK_NOT_FOUND', [shown, hint], { details: { path: shown, near } })
}

/** A version as clients write it; undefined: the newest. */
export function readVersion(version: string | number | null | undefined): number | undefined {
  if (version === undefined || version === null || version === '' || version === 'latest') return undefined
  const number = Number(version)
  if (Number.isInteger(number) && number > 0 && number <= MAX_VERSION) return number
  throw makeError('NOETL_ERR_REQUEST_INVALID', [
    `body/version must be a whole number or "latest"; seen: ${JSON.stringify(version)}`,
  ])
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
    archived: entry.archived_at !== null,
  }
}
