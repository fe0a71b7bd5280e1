import { createHash } from 'node:crypto'
import { isObject, type Json, type JsonObject, parseJson, ToolError } from '@noetl/core'
import { headers as makeHeaders, nuid } from 'nats'
import { isMissingMessage } from './failures.ts'
import type { Bus } from './operation.ts'
import { readAll } from './read-all.ts'
import { CONTENT_TYPE } from './values.ts'

/**
 * An object store is the stream `OBJ_<bucket>`. An object is its chunks, all on one subject of their own,
 * and a message that describes it. That one is written last and replaces the one before: a reader sees the
 * old object or the new one, and what a broken put leaves behind is seen by nobody.
 */
const CHUNK_BYTES = 128 * 1024
/** Chunks on their way at a time; between them the call can be stopped and the event loop goes on. */
const WINDOW = 8
/** What a message's headers may need of what the server takes. */
const HEADER_ROOM = 512

/** The description of an object. */
export interface Meta {
  name: string
  /** Name of the subject of its chunks. */
  nuid: string
  size: number
  chunks: number
  digest: string
  mtime: string
  description: string
  contentType: string
  /** It leads to another object and has no bytes. */
  link: boolean
  revision: number
}

/** The description of an object; null where there is none or it was deleted. */
export async function describe(
  { jsm }: Bus,
  { bucket, key }: { bucket: string; key: string },
): Promise<Meta | null> {
  try {
    const message = await jsm.streams.getMessage(streamOf(bucket), { last_by_subj: metaSubject(bucket, key) })
    return metaOf(message.data, message.seq)
  } catch (error) {
    if (isMissingMessage(error)) return null
    throw error
  }
}

/** Gives the descriptions of all objects of a bucket. */
export function eachObject(bus: Bus, bucket: string, each: (meta: Meta) => void): Promise<void> {
  const of = { stream: streamOf(bucket), subject: `$O.${bucket}.M.>`, latest: true, headersOnly: false }
  return readAll(bus, of, ({ data, seq }) => {
    const meta = metaOf(data, seq)
    if (meta !== null) each(meta)
  })
}

export async function putObject(
  bus: Bus,
  object: { bucket: string; key: string; data: Buffer; contentType: string },
): Promise<Meta> {
  const { bucket, key, data, contentType } = object
  const before = await describe(bus, { bucket, key })
  const id = nuid.next()
  const chunkBytes = Math.min(CHUNK_BYTES, bus.maxPayload - HEADER_ROOM)
  try {
    const { chunks, digest } = await writeChunks(bus, { subject: chunkSubject(bucket, id), data, chunkBytes })
    bus.signal.throwIfAborted()
    const mtime = new Date().toISOString()
    const facts = { nuid: id, size: data.length, mtime, chunks, digest, description: '' }
    const revision = await writeMeta(bus, {
      bucket,
      key,
      meta: {
        ...facts,
        options: { max_chunk_size: chunkBytes },
        deleted: false,
        ...(contentType === '' ? {} : { headers: { [CONTENT_TYPE]: [contentType] } }),
      },
    })
    if (before !== null) await purgeChunks(bus, { bucket, id: before.nuid })
    return { name: key, ...facts, contentType, link: false, revision }
  } catch (error) {
    await purgeChunks(bus, { bucket, id })
    throw error
  }
}

/** The bytes of an object, of which its size was checked. */
export async function readObject(
  bus: Bus,
  { bucket, meta }: { bucket: string; meta: Meta },
): Promise<Buffer> {
  const parts: Uint8Array[] = []
  const hash = createHash('sha256')
  let size = 0
  if (meta.size > 0) {
    const subject = chunkSubject(bucket, meta.nuid)
    const of = { stream: streamOf(bucket), subject, latest: false, headersOnly: false }
    await readAll(bus, of, ({ data }) => {
      size += data.length
      // More than was described is no part of it, and would fill the memory.
      if (size > meta.size) throw changed(bucket, meta)
      hash.update(data)
      parts.push(data)
    })
  }
  if (size !== meta.size || meta.digest !== digestOf(hash.digest('base64'))) throw changed(bucket, meta)
  return Buffer.concat(parts)
}

/** Writes that the object is gone, then removes its chunks. Gives the revision. */
export async function deleteObject(
  bus: Bus,
  { bucket, meta }: { bucket: string; meta: Meta },
): Promise<number> {
  const gone = { nuid: meta.nuid, size: 0, chunks: 0, digest: '', mtime: new Date().toISOString() }
  const revision = await writeMeta(bus, { bucket, key: meta.name, meta: { ...gone, deleted: true } })
  await purgeChunks(bus, { bucket, id: meta.nuid })
  return revision
}

async function writeChunks(
  { js, signal }: Bus,
  { subject, data, chunkBytes }: { subject: string; data: Buffer; chunkBytes: number },
): Promise<{ chunks: number; digest: string }> {
  const hash = createHash('sha256')
  const chunks = Math.ceil(data.length / chunkBytes)
  for (let from = 0; from < chunks; from += WINDOW) {
    signal.throwIfAborted()
    const parts = Array.from({ length: Math.min(WINDOW, chunks - from) }, (_, index) =>
      data.subarray((from + index) * chunkBytes, (from + index + 1) * chunkBytes),
    )
    for (const part of parts) hash.update(part)
    await Promise.all(parts.map((part) => js.publish(subject, part)))
  }
  return { chunks, digest: digestOf(hash.digest('base64')) }
}

async function writeMeta(
  { js }: Bus,
  { bucket, key, meta }: { bucket: string; key: string; meta: JsonObject },
): Promise<number> {
  const headers = makeHeaders()
  headers.set('Nats-Rollup', 'sub')
  const text = JSON.stringify({ name: key, bucket, ...meta })
  const { seq } = await js.publish(metaSubject(bucket, key), text, { headers })
  return seq
}

/** Null for the description of one that was deleted. */
function metaOf(data: Uint8Array, revision: number): Meta | null {
  const meta = objectOf(data)
  if (typeof meta?.name !== 'string') {
    throw new ToolError(
      'parse',
      `The description of an object (revision ${revision}) is not in the form that object stores of NATS have.`,
    )
  }
  if (meta.deleted === true) return null
  const headers = isObject(meta.headers) ? meta.headers : {}
  const given = headers[CONTENT_TYPE]
  return {
    name: meta.name,
    nuid: String(meta.nuid ?? ''),
    size: Number(meta.size ?? 0),
    chunks: Number(meta.chunks ?? 0),
    digest: String(meta.digest ?? ''),
    mtime: String(meta.mtime ?? ''),
    description: String(meta.description ?? ''),
    contentType: Array.isArray(given) ? String(given[0]) : '',
    link: isObject(meta.options) && isObject(meta.options.link),
    revision,
  }
}

function objectOf(data: Uint8Array): JsonObject | null {
  let value: Json
  try {
    value = parseJson(Buffer.from(data).toString())
  } catch {
    return null
  }
  return isObject(value) ? value : null
}

function changed(bucket: string, { name }: Meta): ToolError {
  return new ToolError(
    'tool_error',
    `Object "${name}" of bucket "${bucket}" is not what its digest says: it was replaced while it was read, or it is damaged. Read it again; if that does not help, put it again.`,
    { retryable: true },
  )
}

/** Chunks that no description names only take room: a failure to free it is no failure of the call. */
async function purgeChunks({ jsm, log }: Bus, { bucket, id }: { bucket: string; id: string }): Promise<void> {
  // A link has none, and without a name the filter would be that of another subject.
  if (id === '') return
  try {
    await jsm.streams.purge(streamOf(bucket), { filter: chunkSubject(bucket, id) })
  } catch (error) {
    log.debug({ bucket, err: (error as Error).message }, 'chunks of an object could not be removed')
  }
}

function streamOf(bucket: string): string {
  return `OBJ_${bucket}`
}

function chunkSubject(bucket: string, id: string): string {
  return `$O.${bucket}.C.${id}`
}

function metaSubject(bucket: string, key: string): string {
  return `$O.${bucket}.M.${padded(Buffer.from(key).toString('base64'))}`
}

function digestOf(base64: string): string {
  return `SHA-256=${padded(base64)}`
}

/** Base64 for URLs with its padding, as the clients of NATS write names and digests. */
function padded(base64: string): string {
  return base64.replaceAll('+', '-').replaceAll('/', '_')
}
