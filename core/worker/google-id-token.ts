import { createSign } from 'node:crypto'
import type { JsonObject } from '../schemas/json.ts'
import { askJson, form, type Resolved } from './keychain.ts'

const TOKEN_URI = 'https://oauth2.googleapis.com/token'
/** Such a token lasts an hour; it is had anew some minutes before. In seconds. */
const LASTS_SECONDS = 3600
const MARGIN_SECONDS = 300

/**
 * An identity token of a Google service account for an audience: a JWT signed with the account's key, exchanged
 * at its token endpoint (RFC 7523, JWT bearer grant with the claim `target_audience`).
 */
export async function googleIdToken(
  config: JsonObject & { account: JsonObject },
  signal: AbortSignal,
): Promise<Resolved> {
  const { client_email: email, private_key: key, token_uri } = config.account
  const audience = config.target_audience
  if (typeof email !== 'string' || typeof key !== 'string') {
    throw new Error('the service account has no client_email or private_key')
  }
  if (typeof audience !== 'string' || audience === '') throw new Error('it has no target_audience')
  const uri = typeof token_uri === 'string' ? token_uri : TOKEN_URI
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    iss: email,
    sub: email,
    aud: uri,
    iat: now,
    exp: now + LASTS_SECONDS,
    target_audience: audience,
  }
  const body = form({
    grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    assertion: sign(claims, key),
  })
  const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }
  const { id_token } = await askJson(uri, { method: 'POST', headers, body, signal })
  if (typeof id_token !== 'string') throw new Error('its endpoint gave no id_token')
  return {
    value: { id_token, token_type: 'Bearer', audience },
    until: Date.now() + (LASTS_SECONDS - MARGIN_SECONDS) * 1000,
  }
}

function sign(claims: object, key: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}`
  return `${text}.${createSign('RSA-SHA256').update(text).sign(key, 'base64url')}`
}
