import { ToolError } from '@noetl/core'
import type { NatsInput } from './input.ts'

/** Servers close a connection over a line of more than 4,096 bytes; a subject must leave room in it. */
const MAX_NAME_BYTES = 1024
/** What a server takes as the name of a stream, less the prefix of buckets. */
const MAX_STREAM_BYTES = 250

/** The bucket of the step. Throws ToolError `schema` for one that cannot be. */
export function bucketOf(fields: NatsInput): string {
  const bucket = needed(fields, 'bucket', MAX_STREAM_BYTES)
  if (!/^[-\w]+$/.test(bucket)) {
    throw refuse('bucket', bucket, 'it may hold letters, digits, "-" and "_"')
  }
  return bucket
}

export function streamOf(fields: NatsInput): string {
  const stream = needed(fields, 'stream', MAX_STREAM_BYTES)
  if (!/^[^\s.*>/\\]+$/.test(stream)) {
    throw refuse('stream', stream, 'it cannot hold spaces, ".", "*", ">" or slashes')
  }
  return stream
}

export function subjectOf(fields: NatsInput): string {
  const subject = needed(fields, 'subject', MAX_NAME_BYTES)
  if (!isSubject(subject) || /(^|\.)[*>](\.|$)/.test(subject)) {
    throw refuse('subject', subject, 'it is words joined by ".", without spaces and wildcards')
  }
  return subject
}

/** A key of a key-value bucket. */
export function keyOf(fields: NatsInput): string {
  const key = needed(fields, 'key', MAX_NAME_BYTES)
  if (!isSubject(key) || !/^[-/=.\w]+$/.test(key)) {
    throw refuse(
      'key',
      key,
      'it may hold letters, digits, "-", "_", "/", "=" and, not at its ends, single "."',
    )
  }
  return key
}

/** The keys that kv_keys is asked for: a key, or one with `*` for a word and `>` for the rest. */
export function keyFilterOf(fields: NatsInput): string {
  if ((fields.key ?? '') === '') return '>'
  const filter = needed(fields, 'key', MAX_NAME_BYTES)
  if (!isSubject(filter) || !/^([-/=\w]+|\*)(\.([-/=\w]+|\*))*(\.>)?$|^>$/.test(filter)) {
    throw refuse(
      'key',
      filter,
      'a filter is words joined by ".", "*" for any word, ">" at the end for the rest',
    )
  }
  return filter
}

/** The name of an object: any text. */
export function objectNameOf(fields: NatsInput): string {
  return needed(fields, 'key', MAX_NAME_BYTES)
}

function isSubject(text: string): boolean {
  return !/\s/.test(text) && text.split('.').every((word) => word !== '')
}

function needed(fields: NatsInput, field: 'bucket' | 'stream' | 'subject' | 'key', maxBytes: number): string {
  const name = String(fields[field] ?? '')
  if (name === '') {
    throw new ToolError(
      'schema',
      `The operation ${fields.operation} needs "${field}"; it is missing or rendered to nothing.`,
    )
  }
  const bytes = Buffer.byteLength(name)
  if (bytes > maxBytes) {
    throw new ToolError('schema', `The "${field}" of ${bytes} bytes is longer than ${maxBytes}.`)
  }
  return name
}

function refuse(field: string, name: string, rule: string): ToolError {
  return new ToolError('schema', `${JSON.stringify(name)} is no ${field} that NATS takes: ${rule}.`)
}
