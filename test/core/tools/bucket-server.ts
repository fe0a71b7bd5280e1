import { createHash, createHmac } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../../support/teardown.ts'

/**
 * A server with objects in buckets that checks signatures as S3 does: it computes them anew from what arrived,
 * by the published description, and compares. `objects` are by `/bucket/key` as it stands in the request.
 */
export async function bucketServer(
  t: Teardown,
  about: {
    keys: Record<string, string>
    region: string
    objects: Record<string, string>
    tokens?: Record<string, string>
  },
): Promise<{ url: string; requests: { path: string; headers: IncomingMessage['headers'] }[] }> {
  const requests: { path: string; headers: IncomingMessage['headers'] }[] = []
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push({ path, headers: request.headers })
    const refusal = refusalOf(request, about)
    const body = about.objects[path]
    if (refusal !== null) response.writeHead(403).end(`<Error><Code>${refusal}</Code></Error>`)
    else if (body === undefined) response.writeHead(404).end('<Error><Code>NoSuchKey</Code></Error>')
    else response.end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

function refusalOf(
  request: IncomingMessage,
  about: { keys: Record<string, string>; region: string; tokens?: Record<string, string> },
): string | null {
  const { authorization = '', ...headers } = request.headers
  if (authorization === '') return 'AccessDenied'
  const [, id = '', day = '', region = '', names = '', signature = ''] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      authorization,
    ) ?? []
  const secret = about.keys[id]
  if (secret === undefined) return 'InvalidAccessKeyId'
  if (region !== about.region) return 'AuthorizationHeaderMalformed'
  if (headers['x-amz-security-token'] !== about.tokens?.[id]) return 'InvalidToken'
  const signed = names.split(';')
  const needed = ['host', ...Object.keys(headers).filter((name) => name.startsWith('x-amz-'))]
  if (!needed.every((name) => signed.includes(name))) return 'AccessDenied'
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
  if (headers['x-amz-content-sha256'] !== sha256('')) return 'XAmzContentSHA256Mismatch'
  const [path = '', query = ''] = (request.url ?? '').split('?')
  const fields = signed.map((name) => `${name}:${headers[name]}\n`).join('')
  const canonical = `${request.method}\n${path}\n${query}\n${fields}\n${names}\n${sha256('')}`
  const time = String(headers['x-amz-date'])
  if (Math.abs(Date.now() - dateOf(time)) > 15 * 60_000) return 'RequestTimeTooSkewed'
  const toSign = `AWS4-HMAC-SHA256\n${time}\n${day}/${region}/s3/aws4_request\n${sha256(canonical)}`
  const key = hmac(hmac(hmac(hmac(`AWS4${secret}`, day), region), 's3'), 'aws4_request')
  return hmac(key, toSign).toString('hex') === signature ? null : 'SignatureDoesNotMatch'
}

function dateOf(time: string): number {
  return Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
}
