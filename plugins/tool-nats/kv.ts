import type { JsonObject } from '@noetl/core'
import { headers as makeHeaders } from 'nats'
import { isMissingMessage } from './failures.ts'
import { refuseLarge, tooMany } from './limits.ts'
import { bucketOf, keyFilterOf, keyOf } from './names.ts'
import type { Bus, Prepare } from './operation.ts'
import { readAll } from './read-all.ts'
import { absent, CONTENT_TYPE, decodeValue, encodeValue, JSON_TYPE } from './values.ts'

/**
 * A key-value bucket is the stream `KV_<bucket>` with a subject per key, `$KV.<bucket>.<key>`. Its last
 * message is the value; one with the header KV-Operation tells that the key was deleted or purged.
 */
const MARKER = 'KV-Operation'

export const kvGet: Prepare = (fields, { limits }) => {
  const [bucket, key] = [bucketOf(fields), keyOf(fields)]
  return {
    place: { kind: 'bucket', name: bucket },
    async run({ jsm }) {
      let message: Awaited<ReturnType<typeof jsm.streams.getMessage>>
      try {
        message = await jsm.streams.getMessage(streamOf(bucket), { last_by_subj: subjectOf(bucket, key) })
      } catch (error) {
        if (isMissingMessage(error)) return absent({ bucket, key })
        throw error
      }
      if (message.header.get(MARKER) !== '') return absent({ bucket, key })
      const limit = { bytes: limits.maxValueBytes, option: 'maxValueBytes' } as const
      refuseLarge(message.data.length, `Key "${key}" of bucket "${bucket}"`, limit)
      return {
        status: 'success',
        bucket,
        key,
        found: true,
        ...decodeValue(message.data, message.header.get(CONTENT_TYPE)),
        revision: message.seq,
        created: message.timestamp,
      }
    },
  }
}

export const kvPut: Prepare = (fields, { limits }) => {
  const [bucket, key] = [bucketOf(fields), keyOf(fields)]
  const { data, json } = encodeValue(fields, { bytes: limits.maxValueBytes, option: 'maxValueBytes' })
  return {
    place: { kind: 'bucket', name: bucket },
    async run(bus) {
      const headers = json ? { [CONTENT_TYPE]: JSON_TYPE } : {}
      return { status: 'success', bucket, key, revision: await write(bus, { bucket, key, data, headers }) }
    },
  }
}

export const kvDelete: Prepare = (fields) => mark(fields, { [MARKER]: 'DEL' })

/** As delete, and the earlier values go too. */
export const kvPurge: Prepare = (fields) => mark(fields, { [MARKER]: 'PURGE', 'Nats-Rollup': 'sub' })

function mark(fields: Parameters<Prepare>[0], headers: Record<string, string>): ReturnType<Prepare> {
  const [bucket, key] = [bucketOf(fields), keyOf(fields)]
  return {
    place: { kind: 'bucket', name: bucket },
    async run(bus) {
      const revision = await write(bus, { bucket, key, data: Buffer.alloc(0), headers })
      return { status: 'success', bucket, key, revision }
    },
  }
}

export const kvKeys: Prepare = (fields, { limits }) => {
  const [bucket, filter] = [bucketOf(fields), keyFilterOf(fields)]
  return {
    place: { kind: 'bucket', name: bucket },
    async run(bus): Promise<JsonObject> {
      const keys: string[] = []
      const prefix = subjectOf(bucket, '')
      const subject = prefix + filter
      await readAll(
        bus,
        { stream: streamOf(bucket), subject, latest: true, headersOnly: true },
        (message) => {
          if ((message.headers?.get(MARKER) ?? '') !== '') return
          if (keys.length === limits.maxKeys) throw tooMany(bucket, { what: 'keys', maxKeys: limits.maxKeys })
          keys.push(message.subject.slice(prefix.length))
        },
      )
      return { status: 'success', bucket, keys: keys.sort(), count: keys.length }
    },
  }
}

async function write(
  { js }: Bus,
  message: { bucket: string; key: string; data: Buffer; headers: Record<string, string> },
): Promise<number> {
  const headers = makeHeaders()
  for (const [name, value] of Object.entries(message.headers)) headers.set(name, value)
  const { seq } = await js.publish(subjectOf(message.bucket, message.key), message.data, { headers })
  return seq
}

function streamOf(bucket: string): string {
  return `KV_${bucket}`
}

function subjectOf(bucket: string, key: string): string {
  return `$KV.${bucket}.${key}`
}
