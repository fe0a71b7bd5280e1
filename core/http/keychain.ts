import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { findTop } from '../store/executions.ts'
import {
  deleteKey,
  forgetExpiredKeys,
  KEY_SCOPES,
  type KeyEntry,
  type KeyPlace,
  type KeyScope,
  listKeys,
  openKey,
  putKey,
} from '../store/keychain.ts'
import { findEntry } from './catalog.ts'
import { refuseRemote } from './hosts.ts'
import type { Parts } from './parts.ts'
import { Anything, Bag, Id, IdParams, idText, Maybe, Name } from './shapes.ts'

const IdOfText = IdParams.properties.id
const Scope = Type.Union(KEY_SCOPES.map((scope) => Type.Literal(scope)))
const CatalogParams = Type.Object({ catalog_id: IdOfText })
const KeyParams = Type.Object({ catalog_id: IdOfText, name: Name })
const Query = Type.Object({
  execution_id: Type.Optional(IdOfText),
  parent_execution_id: Type.Optional(IdOfText),
  scope_type: Type.Optional(Scope),
})

/** The longest life of an entry, in seconds: ten years. */
const LONGEST = 315_360_000
/** Of an execution's entries that are stored without an end, in seconds. */
const DAY = 86_400
const MAX_LISTED = 1000

const Seconds = Maybe(Type.Number({ exclusiveMinimum: 0, maximum: LONGEST }))
const Put = Type.Object({
  data: Maybe(Bag),
  token_data: Maybe(Bag),
  credential_data: Maybe(Bag),
  credential_type: Maybe(Type.String({ maxLength: 200 })),
  cache_type: Maybe(Type.Union([Type.Literal('token'), Type.Literal('secret')])),
  scope_type: Maybe(Scope),
  execution_id: Maybe(Id),
  parent_execution_id: Maybe(Id),
  expires_at: Maybe(Type.String({ maxLength: 100 })),
  expires_in: Seconds,
  ttl_seconds: Seconds,
  auto_renew: Maybe(Type.Boolean()),
  renew_config: Type.Optional(Anything),
})
type Put = Static<typeof Put>

/** Which execution asks, and for which scope. */
interface Asked {
  execution_id?: string | undefined
  parent_execution_id?: string | undefined
  scope_type?: KeyScope | undefined
}

/** `/api/keychain/…`: tokens and secrets of playbooks, kept sealed until they expire. */
export function keychainRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable
  const key = parts.config.encryptionKey

  app.post<{ Params: Static<typeof KeyParams>; Querystring: Static<typeof Query>; Body: Put }>(
    `${prefix}/keychain/:catalog_id/:name`,
    {
      schema: {
        params: KeyParams,
        querystring: Query,
        body: Put,
        summary: 'Stores a token or secret, or replaces it',
      },
    },
    async (request) => {
      const { catalog_id, name } = request.params
      const { body, query } = request
      const data = body.data ?? body.token_data ?? body.credential_data
      if (data === undefined || data === null) {
        throw makeError('NOETL_ERR_REQUEST_INVALID', [
          'body must have data (or token_data, credential_data); seen: none of them',
        ])
      }
      await findEntry(parts, { catalog_id })
      const place = await placeFor(request.params, {
        scope_type: body.scope_type ?? query.scope_type,
        execution_id: told(body.execution_id) ?? query.execution_id,
        parent_execution_id: told(body.parent_execution_id) ?? query.parent_execution_id,
      })
      const entry = await putKey(pool, key, {
        ...place,
        data: data as JsonObject,
        renew_config: (body.renew_config ?? null) as Json,
        credential_type: body.credential_type ?? null,
        cache_type: body.cache_type ?? 'token',
        auto_renew: body.auto_renew ?? false,
        expires_at: endOf(body, place.scope_type),
      })
      await forgetExpiredKeys(pool)
      return { status: 'success', message: `Keychain entry ${name} is stored.`, ...present(entry) }
    },
  )

  app.get<{ Params: Static<typeof KeyParams>; Querystring: Static<typeof Query> }>(
    `${prefix}/keychain/:catalog_id/:name`,
    { schema: { params: KeyParams, querystring: Query, summary: 'A token or secret with its data' } },
    async (request) => {
      const { catalog_id, name } = request.params
      refuseRemote(request, parts.config.apiToken, `keychain entry ${name}`)
      const found = await openKey(parts.pools.relaxed, key, await placesFor(request.params, request.query))
      if (found === undefined) throw makeError('NOETL_ERR_KEYCHAIN_NOT_FOUND', [name, catalog_id])
      const { data, renew_config, ...entry } = found
      return { status: 'success', ...present(entry), data, token_data: data, renew_config }
    },
  )

  app.delete<{ Params: Static<typeof KeyParams>; Querystring: Static<typeof Query> }>(
    `${prefix}/keychain/:catalog_id/:name`,
    { schema: { params: KeyParams, querystring: Query, summary: 'Forgets a token or secret' } },
    async (request) => {
      const { catalog_id, name } = request.params
      const place = await placeFor(request.params, request.query)
      if (!(await deleteKey(pool, place))) throw makeError('NOETL_ERR_KEYCHAIN_NOT_FOUND', [name, catalog_id])
      return { status: 'success', message: `Keychain entry ${name} is deleted.`, ...shown(place) }
    },
  )

  app.get<{ Params: Static<typeof CatalogParams> }>(
    `${prefix}/keychain/catalog/:catalog_id`,
    { schema: { params: CatalogParams, summary: 'Entries of a playbook, without their data' } },
    async (request) => {
      const { catalog_id } = request.params
      const entries = await listKeys(pool, catalog_id, MAX_LISTED)
      return { status: 'success', catalog_id, entries: entries.map(present), count: entries.length }
    },
  )

  /** The one place that a request means: of an execution's own where it names one, else everyone's. */
  async function placeFor(at: { catalog_id: string; name: string }, asked: Asked): Promise<KeyPlace> {
    const { execution_id = asked.parent_execution_id } = asked
    const scope_type = asked.scope_type ?? (execution_id === undefined ? 'global' : 'local')
    const place = { catalog_id: at.catalog_id, name: at.name, scope_type }
    if (scope_type === 'global') return { ...place, execution_id: '0' }
    if (execution_id === undefined) {
      throw makeError('NOETL_ERR_REQUEST_INVALID', [
        `scope_type ${scope_type} needs execution_id; seen: nothing`,
      ])
    }
    const top = await findTop(pool, execution_id)
    if (top === undefined) throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [execution_id])
    return { ...place, execution_id: scope_type === 'shared' ? top : execution_id }
  }

  /** Where to look, in order: without a scope, from the nearest to everyone's. */
  async function placesFor(at: { catalog_id: string; name: string }, asked: Asked): Promise<KeyPlace[]> {
    const { execution_id = asked.parent_execution_id } = asked
    if (asked.scope_type !== undefined || execution_id === undefined) return [await placeFor(at, asked)]
    const top = await findTop(pool, execution_id)
    const place = { catalog_id: at.catalog_id, name: at.name }
    return [
      { ...place, scope_type: 'local', execution_id },
      { ...place, scope_type: 'shared', execution_id: top ?? execution_id },
      { ...place, scope_type: 'global', execution_id: '0' },
    ]
  }
}

function told(id: string | number | null | undefined): string | undefined {
  return id === undefined || id === null ? undefined : idText(id)
}

/** When an entry ends. What belongs to an execution does not outlive it by much, whatever is forgotten to be said. */
function endOf(body: Put, scope: KeyScope): Date | null {
  if (body.expires_at !== undefined && body.expires_at !== null) {
    const at = Date.parse(body.expires_at)
    if (at <= Date.now() + LONGEST * 1000) return new Date(at)
    throw makeError('NOETL_ERR_REQUEST_INVALID', [
      `body/expires_at is ${JSON.stringify(body.expires_at)}; a time such as 2027-01-31T12:00:00Z was expected`,
    ])
  }
  const seconds = body.expires_in ?? body.ttl_seconds ?? (scope === 'global' ? null : DAY)
  return seconds === null ? null : new Date(Date.now() + seconds * 1000)
}

function shown(place: KeyPlace): object {
  const { catalog_id, name, scope_type, execution_id } = place
  return { catalog_id, name, scope_type, execution_id: execution_id === '0' ? null : execution_id }
}

function present(entry: KeyEntry): object {
  const { expires_at } = entry
  const left = expires_at === null ? null : Math.max(0, (expires_at.getTime() - Date.now()) / 1000)
  return {
    ...entry,
    ...shown(entry),
    access_count: Number(entry.access_count),
    ttl_seconds: left === null ? null : Math.round(left),
  }
}
