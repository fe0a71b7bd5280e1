import { pipeline, type Readable, type Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { type Json, type JsonObject, parseJson, ToolError } from '@noetl/core'
import type { Answer } from './exchange.ts'
import { showUrl, withoutUserinfo } from './secrets.ts'

/** Reads the body up to `maxBytes`, unpacked, and makes the result of it. */
export async function readResult(
  answer: Answer,
  options: { maxBytes: number; startedAt: number },
): Promise<JsonObject> {
  const { url, response } = answer
  const headers = plainHeaders(response.headers)
  const bytes = await readBody(answer, headers, options.maxBytes)
  const data = decode(bytes, headers['content-type'])
  return {
    status_code: response.statusCode,
    headers,
    url: withoutUserinfo(url),
    elapsed: Math.round((performance.now() - options.startedAt) * 1000) / 1e6,
    data,
    body: data,
  }
}

function plainHeaders(headers: Answer['response']['headers']): Record<string, string> {
  const plain: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) plain[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return plain
}

async function readBody(answer: Answer, headers: Record<string, string>, maxBytes: number): Promise<Buffer> {
  const { body, statusCode } = answer.response
  const bodiless = answer.method === 'HEAD' || statusCode === 204 || statusCode === 304
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of bodiless ? body : unpacked(body, headers['content-encoding'])) {
    size += chunk.length
    // Counted after unpacking: a small packed answer can be an enormous one.
    if (size > maxBytes) {
      throw new ToolError(
        'tool_error',
        `${answer.method} ${showUrl(answer.url)} answered with more than ${maxBytes} bytes, the limit for one answer: ask for less at a time (a page, a range, a filter).`,
        { status: statusCode },
      )
    }
    chunks.push(chunk)
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
}

function unpacked(body: Readable, encodings: string | undefined): Readable {
  let stream = body
  for (const encoding of (encodings ?? '').toLowerCase().split(',').reverse()) {
    const unpack = unpackerOf(encoding.trim())
    // Failures reach the reader of the last stream; there is nothing to add here.
    if (unpack !== null) stream = pipeline(stream, unpack, () => {})
  }
  return stream
}

function unpackerOf(encoding: string): Transform | null {
  if (encoding === 'gzip' || encoding === 'x-gzip') return createGunzip()
  if (encoding === 'deflate') return createInflate()
  if (encoding === 'br') return createBrotliDecompress()
  return null
}

/** JSON where the answer says so, or says nothing and is; text where it is text; base64 otherwise. */
export function decode(bytes: Buffer, contentType: string | undefined): Json {
  if (bytes.length === 0) return ''
  const type = (contentType ?? '').split(';')[0]!.trim().toLowerCase()
  if (type === '' || type === 'application/json' || type.endsWith('+json')) {
    const text = strictText(bytes)
    if (text !== null && (type !== '' || /^\s*[[{]/.test(text))) {
      try {
        return parseJson(text)
      } catch {
        return text
      }
    }
  }
  if (type.startsWith('text/')) return declaredText(bytes, contentType ?? '')
  const text = bytes.includes(0) ? null : strictText(bytes)
  return text ?? bytes.toString('base64')
}

function strictText(bytes: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return null
  }
}

function declaredText(bytes: Buffer, contentType: string): string {
  const charset = /charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1] ?? 'utf-8'
  try {
    return new TextDecoder(charset).decode(bytes)
  } catch {
    return new TextDecoder().decode(bytes)
  }
}
