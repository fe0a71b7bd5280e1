import { createSign } from 'node:crypto'

export const GOOGLE_TOKEN_URI = 'https://oauth2.googleapis.com/token'
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
/** How long an assertion, and what is given for it, lasts. */
export const ASSERTION_SECONDS = 3600

/**
 * What a Google service account says to get a token (RFC 7523): a JWT signed with its key. `wish` is what it
 * asks for, `scope` or `target_audience`. Throws what node:crypto says of a key that is none.
 */
export function googleAssertion(
  account: { email: string; key: string; uri: string },
  wish: Record<string, string>,
): string {
  const { email, key, uri } = account
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: email, sub: email, aud: uri, iat: now, exp: now + ASSERTION_SECONDS, ...wish }
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}`
  return `${text}.${createSign('RSA-SHA256').update(text).sign(key, 'base64url')}`
}
