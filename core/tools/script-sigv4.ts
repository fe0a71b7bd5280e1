import { createHash, createHmac } from 'node:crypto'

/** Who signs. */
export interface SigningKey {
  accessKeyId: string
  secretAccessKey: string
  /** Of temporary credentials. */
  sessionToken?: string | undefined
}

/** The hash of a body that is empty. */
export const EMPTY_HASH = sha256('')

/**
 * The headers of a request with AWS Signature Version 4 added: the date, the session token if there is one,
 * and Authorization. Every header given is signed, `host` must be among them. The path is as it will stand in
 * the request, encoded once, which is how S3 wants it; other services want theirs encoded twice.
 */
export function signRequest(
  request: {
    method: string
    path: string
    query?: readonly (readonly [name: string, value: string])[]
    headers: Readonly<Record<string, string>>
    bodyHash?: string
  },
  by: { key: SigningKey; region: string; service: string; now: Date },
): Record<string, string> {
  const { key, region, service } = by
  const time = by.now.toISOString().replace(/[-:]|\.\d{3}/g, '')
  const headers: Record<string, string> = { ...request.headers, 'x-amz-date': time }
  if (key.sessionToken !== undefined) headers['x-amz-security-token'] = key.sessionToken
  const signed = Object.entries(headers)
    .map(([name, value]) => [name.toLowerCase(), value.trim().replace(/ +/g, ' ')] as const)
    .sort(byName)
  const names = signed.map(([name]) => name).join(';')
  const query = [...(request.query ?? [])]
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort((a, b) => byName(a, b) || (a[1] < b[1] ? -1 : 1))
  const canonical = [
    request.method,
    request.path,
    query.map((pair) => pair.join('=')).join('&'),
    ...signed.map(([name, value]) => `${name}:${value}`),
    '',
    names,
    request.bodyHash ?? EMPTY_HASH,
  ].join('\n')
  const day = time.slice(0, 8)
  const scope = `${day}/${region}/${service}/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n')
  let secret: Buffer = Buffer.from(`AWS4${key.secretAccessKey}`)
  for (const part of [day, region, service, 'aws4_request']) secret = hmac(secret, part)
  const signature = hmac(secret, toSign).toString('hex')
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${key.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`
  return headers
}

/** Percent-encodes all but A-Z, a-z, 0-9 and `-._~`, as signatures have it. */
export function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function byName(a: readonly [string, string], b: readonly [string, string]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
