import { type JsonObject, ToolError } from '@noetl/core'
import { refuseLarge, tooMany } from './limits.ts'
import { bucketOf, objectNameOf } from './names.ts'
import { deleteObject, describe, eachObject, type Meta, putObject, readObject } from './object-store.ts'
import type { Prepare } from './operation.ts'
import { absent, decodeValue, encodeValue, JSON_TYPE } from './values.ts'

export const objectGet: Prepare = (fields, { limits }) => {
  const [bucket, key] = [bucketOf(fields), objectNameOf(fields)]
  return {
    place: { kind: 'store', name: bucket },
    async run(bus) {
      const meta = await describe(bus, { bucket, key })
      if (meta === null) return absent({ bucket, key })
      if (meta.link) {
        throw new ToolError(
          'client_error',
          `Object "${key}" of bucket "${bucket}" is a link: name the object it leads to.`,
        )
      }
      const limit = { bytes: limits.maxObjectBytes, option: 'maxObjectBytes' } as const
      refuseLarge(meta.size, `Object "${key}" of bucket "${bucket}"`, limit)
      const data = await readObject(bus, { bucket, meta })
      return {
        status: 'success',
        bucket,
        key,
        found: true,
        ...decodeValue(data, meta.contentType),
        ...factsOf(meta),
      }
    },
  }
}

export const objectPut: Prepare = (fields, { limits }) => {
  const [bucket, key] = [bucketOf(fields), objectNameOf(fields)]
  const encoded = encodeValue(fields, { bytes: limits.maxObjectBytes, option: 'maxObjectBytes' })
  return {
    place: { kind: 'store', name: bucket },
    async run(bus) {
      const { data, json } = encoded
      const meta = await putObject(bus, { bucket, key, data, contentType: json ? JSON_TYPE : '' })
      return { status: 'success', bucket, key, ...factsOf(meta) }
    },
  }
}

export const objectInfo: Prepare = (fields) => {
  const [bucket, key] = [bucketOf(fields), objectNameOf(fields)]
  return {
    place: { kind: 'store', name: bucket },
    async run(bus) {
      const meta = await describe(bus, { bucket, key })
      if (meta === null) return { status: 'not_found', bucket, key, found: false, revision: null }
      const { description, link } = meta
      return { status: 'success', bucket, key, found: true, ...factsOf(meta), description, link }
    },
  }
}

export const objectDelete: Prepare = (fields) => {
  const [bucket, key] = [bucketOf(fields), objectNameOf(fields)]
  return {
    place: { kind: 'store', name: bucket },
    async run(bus) {
      const meta = await describe(bus, { bucket, key })
      if (meta === null) return { status: 'not_found', bucket, key, found: false, revision: null }
      const revision = await deleteObject(bus, { bucket, meta })
      return { status: 'success', bucket, key, found: true, revision }
    },
  }
}

export const objectList: Prepare = (fields, { limits }) => {
  const bucket = bucketOf(fields)
  return {
    place: { kind: 'store', name: bucket },
    async run(bus) {
      const objects: JsonObject[] = []
      await eachObject(bus, bucket, (meta) => {
        if (objects.length === limits.maxKeys) {
          throw tooMany(bucket, { what: 'objects', maxKeys: limits.maxKeys })
        }
        objects.push({ key: meta.name, ...factsOf(meta) })
      })
      objects.sort((a, b) => (String(a.key) < String(b.key) ? -1 : 1))
      return { status: 'success', bucket, objects, count: objects.length }
    },
  }
}

function factsOf({ size, chunks, digest, mtime, revision }: Meta): JsonObject {
  return { size, chunks, digest, modified: mtime, revision }
}
