import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { request } from 'undici'
import { isNoetlError, makeError } from '../errors.ts'
import {
  ASSERTION_SECONDS,
  GOOGLE_TOKEN_URI,
  googleAssertion,
  JWT_BEARER,
} from '../schemas/google-assertion.ts'
import { isObject, type Json, type JsonObject, parseJson } from '../schemas/json.ts'
import { openCredential } from '../store/credentials.ts'
import { findCredential } from './credentials.ts'
import type { Parts } from './parts.ts'
import { Maybe, Name } from './shapes.ts'

const Scope = Type.String({ minLength: 1, maxLength: 500 })
const Wanted = Type.Object({
  credential: Maybe(Name),
  credential_name: Maybe(Name),
  scopes: Maybe(Type.Union([Scope, Type.Array(Scope, { minItems: 1, maxItems: 50 })])),
})

const USUAL_SCOPE = 'https://www.googleapis.com/auth/cloud-platform'
const TIMEOUT_MS = 15_000
const MAX_BYTES = 64 * 1024

/** `/api/gcp/token`: an access token for a stored Google credential, of a service account or of a person. */
export function gcpTokenRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.post<{ Body: Static<typeof Wanted> }>(
    `${prefix}/gcp/token`,
    { schema: { body: Wanted, summary: 'An access token for a stored Google credential' } },
    async ({ body }) => {
      const name = body.credential ?? body.credential_name
      if (!name)
        throw makeError('NOETL_ERR_REQUEST_INVALID', ['body/credential is missing: name a stored one'])
      const scopes = [body.scopes ?? USUAL_SCOPE].flat()
      const pool = parts.pools.durable
      const entry = await findCredential(pool, name)
      const data = (await openCredential(pool, parts.config.encryptionKey, entry.name)) ?? {}
      const answer = await ask(grantOf(entry.name, data, scopes)).catch((error: unknown) => {
        if (isNoetlError(error)) throw error
        throw makeError('NOETL_ERR_CREDENTIAL_TOKEN', [entry.name, whyOf(error)])
      })
      const seconds = Number(answer.expires_in)
      const lasts = Number.isFinite(seconds) && seconds > 0 ? seconds : ASSERTION_SECONDS
      return {
        status: 'ok',
        access_token: answer.access_token,
        token_type: typeof answer.token_type === 'string' ? answer.token_type : 'Bearer',
        expires_in: lasts,
        token_expiry: new Date(Date.now() + lasts * 1000).toISOString(),
        scopes,
      }
    },
  )
}

/** Where to ask, and with what. */
function grantOf(name: string, data: JsonObject, scopes: string[]): { uri: string; form: URLSearchParams } {
  const invalid = (why: string) => makeError('NOETL_ERR_REQUEST_INVALID', [`credential ${name} ${why}`])
  const { token_uri, client_email, private_key, client_id, client_secret, refresh_token } = data
  const uri = typeof token_uri === 'string' ? token_uri : GOOGLE_TOKEN_URI
  if (!/^https?:\/\//.test(uri) || !URL.canParse(uri))
    throw invalid('has a token_uri that is no http address')
  if (isText(refresh_token) && isText(client_id) && isText(client_secret)) {
    const fields = { grant_type: 'refresh_token', client_id, client_secret, refresh_token }
    return { uri, form: new URLSearchParams(fields) }
  }
  if (!isText(client_email) || !isText(private_key)) {
    throw invalid(
      'has neither client_email and private_key of a service account, nor client_id, client_secret and refresh_token',
    )
  }
  try {
    const account = { email: client_email, key: private_key, uri }
    const assertion = googleAssertion(account, { scope: scopes.join(' ') })
    return { uri, form: new URLSearchParams({ grant_type: JWT_BEARER, assertion }) }
  } catch {
    throw invalid('has a private_key that is no key in PEM')
  }
}

/** The answer of a token endpoint. Errors say what was seen, never what it was. */
async function ask({ uri, form }: { uri: string; form: URLSearchParams }): Promise<JsonObject> {
  const { statusCode, body } = await request(uri, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
    body: form.toString(),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  let text = ''
  for await (const chunk of body.setEncoding('utf8')) {
    text += chunk
    if (text.length > MAX_BYTES) throw new Error(`its endpoint answered more than ${MAX_BYTES} bytes`)
  }
  if (statusCode !== 200) throw new Error(`its endpoint answered ${statusCode}`)
  let answer: Json
  try {
    answer = parseJson(text)
  } catch {
    throw new Error('its endpoint answered no JSON')
  }
  if (!isObject(answer) || !isText(answer.access_token)) throw new Error('its endpoint gave no access_token')
  return answer
}

function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return 'its endpoint cannot be reached'
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  return code === undefined ? error.message : `its endpoint cannot be reached (${code})`
}

function isText(value: Json | undefined): value is string {
  return typeof value === 'string' && value !== ''
}
