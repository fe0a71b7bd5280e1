import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Static, type TSchema, Type } from 'typebox'
import { type ToolCall, ToolError } from './define.ts'
import { basic, findAuth, headersOf } from './script-auth.ts'
import { gcsRequest, s3Request } from './script-buckets.ts'
import { fetchBytes, type Wanted } from './script-fetch.ts'

const maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

const seconds = Type.Union([
  Type.Number({ exclusiveMinimum: 0, maximum: 3600 }),
  Type.String({ pattern: '^[0-9]{1,3}([.][0-9]+)?$' }),
])

/** The `script` field of tools that run code or SQL: where it is. A field that renders to null counts as not given. */
export const Script = Type.Object(
  {
    uri: maybe(
      Type.String({ description: 'Path, file:, http(s)://, s3://bucket/key or gs://bucket/object' }),
    ),
    source: maybe(
      Type.Object(
        {
          type: maybe(
            Type.String({ description: 'inline, file, http, s3 or gcs; by default as the uri says' }),
          ),
          code: maybe(Type.String({ description: 'The text itself, of an inline script' })),
          auth: maybe(Type.Union([Type.String(), Type.Record(Type.String(), Type.Unknown())])),
          region: maybe(Type.String({ description: 'Of an S3 bucket' })),
          endpoint: maybe(Type.String({ description: 'Of another server than the usual one' })),
          method: maybe(Type.String({ description: 'GET or POST, of an http script' })),
          headers: maybe(Type.Record(Type.String(), Type.Unknown())),
          timeout: maybe(seconds),
        },
        { additionalProperties: true },
      ),
    ),
  },
  { additionalProperties: true },
)
export type Script = Static<typeof Script>

/** Bytes of a script that is not inline. */
const MAX_BYTES = 8 * 1024 * 1024
const DEFAULT_TIMEOUT_SECONDS = 30

/**
 * The text of a script, read anew at every call. Templates were evaluated before, in the fields that say where
 * it is and in inline code; a text from elsewhere is given as it is. Throws ToolError when there is none.
 */
export async function loadScript(
  script: Script,
  call: Pick<ToolCall, 'signal' | 'credentials'>,
): Promise<string> {
  const uri = script.uri ?? ''
  const source = script.source ?? {}
  const type = source.type ?? typeOf(uri, source)
  call.signal.throwIfAborted()
  switch (type) {
    case 'inline':
      if (typeof source.code === 'string') return source.code
      throw new ToolError('schema', 'An inline script needs its text in "source.code".')
    case 'file':
      return readText(uri)
    case 'http':
    case 'https':
    case 's3':
    case 'gcs':
    case 'gs': {
      const wanted = await wantedOf(type, script, call)
      const bytes = await fetchBytes(wanted, call.signal)
      return textOfBytes(bytes, uri === '' ? 'that was fetched' : `"${withoutSecrets(uri)}"`)
    }
    default:
      throw new ToolError(
        'schema',
        `A script is of type inline, file, http, s3 or gcs; seen in "source.type": "${type}".`,
      )
  }
}

function typeOf(uri: string, source: NonNullable<Script['source']>): string {
  if ((source.code ?? null) !== null) return 'inline'
  const [, scheme = ''] = /^([a-z0-9]+):\/\//i.exec(uri) ?? []
  const byScheme: Record<string, string> = { http: 'http', https: 'http', s3: 's3', gs: 'gcs' }
  return (
    byScheme[scheme.toLowerCase()] ?? (uri === '' && (source.endpoint ?? null) !== null ? 'http' : 'file')
  )
}

async function wantedOf(
  type: 'http' | 'https' | 's3' | 'gcs' | 'gs',
  script: Script,
  call: Pick<ToolCall, 'credentials'>,
): Promise<Wanted> {
  const uri = script.uri ?? ''
  const source = script.source ?? {}
  const auth = await findAuth(source.auth, (alias) => call.credentials(alias))
  const limits = { seconds: Number(source.timeout ?? DEFAULT_TIMEOUT_SECONDS), maxBytes: MAX_BYTES }
  const at = { endpoint: source.endpoint ?? undefined, auth, now: new Date() }
  if (type === 's3') return { ...s3Request(uri, { ...at, region: source.region ?? undefined }), ...limits }
  if (type === 'gcs' || type === 'gs') return { ...gcsRequest(uri, at), ...limits }
  const url = urlOf(uri, source.endpoint ?? '')
  const own = auth === null ? {} : headersOf(auth)
  const headers = { ...headerFields(source.headers ?? {}), ...userOf(url), ...own }
  return { url, method: methodOf(source.method ?? 'GET'), headers, ...limits }
}

/** `uri` by itself, or as a link in a page at `endpoint`. */
function urlOf(uri: string, endpoint: string): URL {
  const url = endpoint === '' ? URL.parse(uri) : URL.parse(uri, endpoint)
  if (url !== null && /^https?:$/.test(url.protocol)) return url
  throw new ToolError(
    'schema',
    'A script of type http needs an http or https URL in "uri", or in "source.endpoint" and the rest of it in "uri".',
  )
}

function methodOf(given: string): 'GET' | 'POST' {
  const method = given.toUpperCase()
  if (method === 'GET' || method === 'POST') return method
  throw new ToolError('schema', `A script is fetched by GET or POST; seen in "source.method": "${given}".`)
}

function headerFields(given: Record<string, unknown>): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined) continue
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    // The value may be a secret: it is never shown.
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(text)) {
      throw new ToolError(
        'schema',
        `The header "${name}" of the script cannot be sent: its name or value is no header's.`,
      )
    }
    fields[name.toLowerCase()] = text
  }
  return fields
}

/** A user and password in the URL, as a header. */
function userOf(url: URL): Record<string, string> {
  if (url.username === '' && url.password === '') return {}
  const header = basic(unescapePercent(url.username), unescapePercent(url.password))
  url.username = ''
  url.password = ''
  return { authorization: header }
}

function unescapePercent(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

async function readText(uri: string): Promise<string> {
  const path = pathOf(uri)
  let file: FileHandle
  try {
    // Without waiting: a named pipe would hold the call until somebody writes to it.
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    const kind = code === 'ENOENT' || code === 'ENOTDIR' ? 'not_found' : 'storage_access'
    throw new ToolError(kind, `The script "${uri}" cannot be read at ${path}: ${code || String(cause)}.`, {
      cause,
    })
  }
  try {
    if (!(await file.stat()).isFile())
      throw new ToolError('schema', `The script "${uri}" is no file: ${path}.`)
    const chunks: Buffer[] = []
    for await (const chunk of file.createReadStream({ end: MAX_BYTES, autoClose: false })) chunks.push(chunk)
    const bytes = Buffer.concat(chunks)
    if (bytes.length > MAX_BYTES)
      throw new ToolError(
        'schema',
        `The script "${uri}" has more than ${MAX_BYTES} bytes, the limit for a script.`,
      )
    return textOfBytes(bytes, `"${uri}"`)
  } finally {
    await file.close()
  }
}

function pathOf(uri: string): string {
  if (uri === '') throw new ToolError('schema', 'A script of type file needs its path in "uri".')
  if (uri.includes('\0'))
    throw new ToolError('schema', 'The path of a script cannot hold the character U+0000.')
  if (!/^file:/i.test(uri)) return resolve(uri)
  try {
    return fileURLToPath(uri)
  } catch (cause) {
    throw new ToolError('schema', `The script's uri "${uri}" is no file URL with an absolute path.`, {
      cause,
    })
  }
}

function textOfBytes(bytes: Buffer, which: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new ToolError('schema', `The script ${which} is no text in UTF-8.`, { cause })
  }
}

function withoutSecrets(uri: string): string {
  return uri.replace(/\/\/[^/]*@/, '//').replace(/[?#].*$/s, '')
}
