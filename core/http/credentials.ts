import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import { nearest } from '../playbook/faults.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import {
  type CredentialEntry,
  deleteCredential,
  getCredential,
  listCredentials,
  openCredential,
  putCredential,
} from '../store/credentials.ts'
import type { Parts } from './parts.ts'
import { Anything, Bag, Name } from './shapes.ts'

const Put = Type.Object({
  name: Name,
  type: Type.String({ minLength: 1, maxLength: 200 }),
  data: Bag,
  meta: Type.Optional(Anything),
  tags: Type.Optional(Anything),
  description: Type.Optional(Type.Union([Type.String(), Type.Null()])),
})
const Filter = Type.Object({ type: Type.Optional(Type.String()), q: Type.Optional(Type.String()) })
const NameParams = Type.Object({ name: Name })
const Reading = Type.Object({ include_data: Type.Optional(Type.Boolean()) })

/** `/api/credentials…`. Data is kept sealed, and given only where it is asked for by name. */
export function credentialRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable

  app.post<{ Body: Static<typeof Put> }>(
    `${prefix}/credentials`,
    { schema: { body: Put, summary: 'Stores a credential, or replaces the one of that name' } },
    async (request) => {
      const { name, type, data, meta, tags, description } = request.body
      const entry = await putCredential(pool, parts.config.encryptionKey, {
        credential_id: parts.newId(),
        name,
        type,
        data: data as JsonObject,
        meta: (meta ?? null) as Json,
        tags: (tags ?? null) as Json,
        description: description ?? null,
      })
      return present(entry)
    },
  )

  app.get<{ Querystring: Static<typeof Filter> }>(
    `${prefix}/credentials`,
    { schema: { querystring: Filter, summary: 'Credentials, without their data' } },
    async (request) => {
      const { type, q } = request.query
      const entries = await listCredentials(pool, {
        ...(type === undefined ? {} : { type }),
        ...(q === undefined ? {} : { text: q }),
      })
      return { items: entries.map(present), filter: { type: type ?? null, q: q ?? null } }
    },
  )

  app.get<{ Params: Static<typeof NameParams>; Querystring: Static<typeof Reading> }>(
    `${prefix}/credentials/:name`,
    { schema: { params: NameParams, querystring: Reading, summary: 'One credential, by name or id' } },
    async (request) => {
      const { name } = request.params
      const entry = await getCredential(pool, name)
      if (entry === undefined) throw await notFound(name)
      if (request.query.include_data !== true) return present(entry)
      return { ...present(entry), data: await openCredential(pool, parts.config.encryptionKey, entry.name) }
    },
  )

  app.delete<{ Params: Static<typeof NameParams> }>(
    `${prefix}/credentials/:name`,
    { schema: { params: NameParams, summary: 'Forgets a credential' } },
    async (request) => {
      const { name } = request.params
      if (!(await deleteCredential(pool, name))) throw await notFound(name)
      return { status: 'ok', message: `Credential ${name} is deleted.` }
    },
  )

  async function notFound(name: string): Promise<Error> {
    const names = (await listCredentials(pool, {})).map((entry) => entry.name)
    const near = nearest(name, names)
    const hint = near.length > 0 ? ` Near: ${near.join(', ')}.` : ''
    return makeError('NOETL_ERR_CREDENTIAL_NOT_FOUND', [name, hint])
  }
}

function present(entry: CredentialEntry): object {
  const { credential_id, ...rest } = entry
  return { id: credential_id, ...rest }
}
