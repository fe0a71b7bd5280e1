import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { isObject, type JsonObject, ToolError } from '@noetl/core'
import { askJson } from './ask.ts'
import { type Given, need, parseUrl, textOf } from './credential.ts'
import type { Reading } from './provider.ts'

const TOKEN_URI = 'https://oauth2.googleapis.com/token'
const SCOPE = 'https://www.googleapis.com/auth/cloud-platform'
const MAX_ANSWER_BYTES = 64 * 1024

/**
 * An access token for Google: got with a service account key or a refresh token where there is one, because a
 * stored token is good for an hour only.
 */
export async function googleToken(given: Given, reading: Reading): Promise<string> {
  const { data, what } = given
  const endpoint = textOf(data, 'token_uri') ?? TOKEN_URI
  const grant = grantOf(given, endpoint)
  if (grant === null) {
    const stored = textOf(data, 'token', 'access_token')
    if (stored !== undefined) return stored
    throw new ToolError(
      'auth',
      `The secrets tool cannot use ${what} for provider gcp: it has none of token, private_key (a service account) and refresh_token with client_id and client_secret.`,
    )
  }
  const url = parseUrl(endpoint, `token_uri of ${what}`)
  const body = await askJson(
    {
      url,
      headers: {},
      form: new URLSearchParams(grant),
      what: `A token for ${what}`,
      maxBytes: MAX_ANSWER_BYTES,
    },
    reading,
  )
  const token = isObject(body) ? textOf(body, 'access_token') : undefined
  if (token === undefined)
    throw new ToolError('parse', `A token for ${what}: ${url.origin} answered with no access_token.`)
  return token
}

/** What is sent for a token; null where the credential has nothing to get one with. */
function grantOf(given: Given, audience: string): Record<string, string> | null {
  if (textOf(given.data, 'private_key') !== undefined) {
    return {
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      assertion: assertion(given, audience),
    }
  }
  const refresh_token = textOf(given.data, 'refresh_token')
  const client_id = textOf(given.data, 'client_id')
  const client_secret = textOf(given.data, 'client_secret')
  if (refresh_token === undefined || client_id === undefined || client_secret === undefined) return null
  return { grant_type: 'refresh_token', refresh_token, client_id, client_secret }
}

/** What a service account signs to get a token: who it is and what for, for an hour. */
function assertion(given: Given, audience: string): string {
  const now = Math.floor(Date.now() / 1000)
  const keyId = textOf(given.data, 'private_key_id')
  const header = { alg: 'RS256', typ: 'JWT', ...(keyId === undefined ? {} : { kid: keyId }) }
  const claims = { iss: need(given, 'client_email'), scope: SCOPE, aud: audience, iat: now, exp: now + 3600 }
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${sign('RSA-SHA256', Buffer.from(text), keyOf(given)).toString('base64url')}`
}

function keyOf(given: Given): KeyObject {
  try {
    return createPrivateKey(need(given, 'private_key'))
  } catch {
    throw new ToolError('auth', `The private_key of ${given.what} is no key in PEM form.`)
  }
}

function encode(value: JsonObject): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
