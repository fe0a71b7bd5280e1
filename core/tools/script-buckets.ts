import { isObject, type JsonObject } from '../schemas/json.ts'
import { ToolError } from './define.ts'
import { type Found, headersOf, need, textOf } from './script-auth.ts'
import type { Wanted } from './script-fetch.ts'
import { EMPTY_HASH, encode, type SigningKey, signRequest } from './script-sigv4.ts'

/** Where an object is to be had, and with what headers. */
type Located = Pick<Wanted, 'url' | 'headers' | 'follow'>

const GOOGLE = 'https://storage.googleapis.com'

/** A GET of `s3://bucket/key`, signed when there is a credential; a public bucket needs none. */
export function s3Request(
  uri: string,
  at: { region?: string | undefined; endpoint?: string | undefined; auth: Found | null; now: Date },
): Located {
  const { bucket, key } = objectOf(uri, 's3')
  const data = at.auth?.data ?? {}
  const region = at.region ?? textOf(data, 'region', 'aws_region') ?? 'us-east-1'
  const endpoint = at.endpoint ?? textOf(data, 'endpoint', 'endpoint_url')
  const path = key.split('/').map(encode).join('/')
  // A wildcard certificate is for one label: a bucket with dots in its name goes into the path.
  const url =
    endpoint !== undefined
      ? inPath(endpoint, bucket, path)
      : bucket.includes('.')
        ? new URL(`https://s3.${hostPart(region)}.amazonaws.com/${bucket}/${path}`)
        : new URL(`https://${bucket}.s3.${hostPart(region)}.amazonaws.com/${path}`)
  return { url, headers: signed(url, at.auth, { region, now: at.now }), follow: false }
}

/** A GET of `gs://bucket/object`: by the JSON API with a token, by the S3 form with an HMAC key. */
export function gcsRequest(
  uri: string,
  at: { endpoint?: string | undefined; auth: Found | null; now: Date },
): Located {
  const { bucket, key } = objectOf(uri, 'gs')
  const endpoint = at.endpoint ?? textOf(at.auth?.data ?? {}, 'endpoint') ?? GOOGLE
  if (at.auth !== null && (at.auth.type === 'gcs_hmac' || hasKey(at.auth.data))) {
    const url = inPath(endpoint, bucket, key.split('/').map(encode).join('/'))
    return { url, headers: signed(url, at.auth, { region: 'auto', now: at.now }), follow: false }
  }
  const url = inPath(endpoint, `storage/v1/b/${encode(bucket)}/o`, encode(key))
  url.search = '?alt=media'
  const headers = at.auth === null ? {} : headersOf({ ...at.auth, type: 'bearer' })
  return { url, headers }
}

function objectOf(uri: string, scheme: 's3' | 'gs'): { bucket: string; key: string } {
  // No URL: a key may hold any character, `?` and `#` among them.
  const [, name, bucket = '', key = ''] = /^(s3|gs):\/\/([^/]*)\/(.+)$/s.exec(uri) ?? []
  if (name !== scheme || !/^[A-Za-z0-9][\w.-]*$/.test(bucket)) {
    throw new ToolError('schema', `The script's uri must be ${scheme}://<bucket>/<name>; seen: "${uri}".`)
  }
  if (key.split('/').some((part) => part === '.' || part === '..')) {
    throw new ToolError(
      'schema',
      `The script's uri "${uri}" has a part "." or "..", which no request can name.`,
    )
  }
  return { bucket, key }
}

function inPath(endpoint: string, bucket: string, path: string): URL {
  const base = URL.parse(/^https?:\/\//.test(endpoint) ? endpoint : `https://${endpoint}`)
  if (base === null)
    throw new ToolError('schema', `The script's endpoint "${endpoint}" must be the URL of a server.`)
  return new URL(`${base.origin}${base.pathname.replace(/\/$/, '')}/${bucket}/${path}`)
}

function hostPart(region: string): string {
  if (/^[a-z0-9-]+$/.test(region)) return region
  throw new ToolError('schema', `The script's region must be a name such as eu-central-1; seen: "${region}".`)
}

function signed(
  url: URL,
  auth: Found | null,
  { region, now }: { region: string; now: Date },
): Record<string, string> {
  if (auth === null) return {}
  const request = {
    method: 'GET',
    path: url.pathname,
    headers: { host: url.host, 'x-amz-content-sha256': EMPTY_HASH },
  }
  const by = { key: keyOf(auth), region, service: 's3', now }
  // undici writes `host` itself, from the same URL.
  const { host, ...headers } = signRequest(request, by)
  return headers
}

const KEY_NAMES = ['access_key_id', 'key_id', 'aws_access_key_id']

function hasKey(data: JsonObject): boolean {
  return isObject(data) && textOf(data, ...KEY_NAMES) !== undefined
}

function keyOf({ type, data, what }: Found): SigningKey {
  if (!['s3', 'aws', 'gcs', 'gcs_hmac'].includes(type)) {
    throw new ToolError(
      'auth',
      `A script cannot be fetched from a bucket with ${what}: its type is "${type}", not s3 or gcs_hmac.`,
    )
  }
  return {
    accessKeyId: need(data, what, ...KEY_NAMES),
    secretAccessKey: need(data, what, 'secret_access_key', 'secret', 'secret_key', 'aws_secret_access_key'),
    sessionToken: textOf(data, 'session_token', 'aws_session_token'),
  }
}
