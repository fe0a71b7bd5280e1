import {
  ASSERTION_SECONDS,
  GOOGLE_TOKEN_URI,
  googleAssertion,
  JWT_BEARER,
} from '../schemas/google-assertion.ts'
import type { JsonObject } from '../schemas/json.ts'
import { askJson, form, type Resolved } from './keychain.ts'

/** Such a token lasts as long as its assertion; it is had anew some minutes before. In seconds. */
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
  const uri = typeof token_uri === 'string' ? token_uri : GOOGLE_TOKEN_URI
  const assertion = googleAssertion({ email, key, uri }, { target_audience: audience })
  const body = form({ grant_type: JWT_BEARER, assertion })
  const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }
  const { id_token } = await askJson(uri, { method: 'POST', headers, body, signal })
  if (typeof id_token !== 'string') throw new Error('its endpoint gave no id_token')
  return {
    value: { id_token, token_type: 'Bearer', audience },
    until: Date.now() + (ASSERTION_SECONDS - MARGIN_SECONDS) * 1000,
  }
}
