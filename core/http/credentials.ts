import type { FastifyInstance } from 'fastify'
import type pg from 'pg'
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
import { readPublicKey, sealTo } from '../store/sealing-to.ts'
import { findWorker } from '../store/workers.ts'
import { refuseRemote } from './hosts.ts'
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
const Sealed = Type.Object({ worker_id: Name })
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
      const entry = await findCredential(pool, name)
      if (request.query.include_data !== true) return present(entry)
      refuseRemote(request, parts.config.apiToken, `credential ${name}`)
      return { ...present(entry), data: await openCredential(pool, parts.config.encryptionKey, entry.name) }
    },
  )

  app.get<{ Params: Static<typeof NameParams>; Querystring: Static<typeof Sealed> }>(
    `${prefix}/credentials/:name/sealed`,
    { schema: { params: NameParams, querystring: Sealed, summary: 'One credential, sealed for a worker' } },
    async (request) => {
      const { worker_id } = request.query
      const { name, type } = await findCredential(pool, request.params.name)
      const worker = await findWorker(pool, worker_id)
      if (worker === undefined) throw makeError('NOETL_ERR_WORKER_NOT_FOUND', [worker_id])
      const key = readPublicKey(worker.meta?.public_key)
      if (key === undefined) {
        throw makeError('NOETL_ERR_REQUEST_INVALID', [
          `worker ${worker_id} is registered without a public_key; register it with its X25519 key in base64`,
        ])
      }
      const data = (await openCredential(pool, parts.config.encryptionKey, name)) ?? {}
      return { name, type, worker_id, ...sealTo(key, `${name}\0${worker_id}`, data) }
    },
  )

  app.delete<{ Params: Static<typeof NameParams> }>(
    `${prefix}/credentials/:name`,
    { schema: { params: NameParams, summary: 'Forgets a credential' } },
    async (request) => {
      const { name } = request.params
      if (!(await deleteCredential(pool, name))) throw await notFound(pool, name)
      return { status: 'ok', message: `Credential ${name} is deleted.` }
    },
  )
}

/** By name or id, without data. Throws NOETL_ERR_CREDENTIAL_NOT_FOUND, with names that are near. */
export async function findCredential(pool: pg.Pool, nameOrId: string): Promise<CredentialEntry> {
  const entry = await getCredential(pool, nameOrId)
  if (entry === undefined) throw await notFound(pool, nameOrId)
  return entry
}

async function notFound(pool: pg.Pool, name: string): Promise<Error> {
  const names = (await listCredentials(pool, {})).map((entry) => entry.name)
  const near = nearest(name, names)
  const hint = near.length > 0 ? ` Near: ${near.join(', ')}.` : ''
  return makeError('NOETL_ERR_CREDENTIAL_NOT_FOUND', [name, hint])
}

function present(entry: CredentialEntry): object {
  const { credential_id, ...rest } = entry
  return { id: credential_id, ...rest }
}
