import { makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Credential } from '../tools/define.ts'
import { googleIdToken } from './google-id-token.ts'

/** `token()` asks for one that is not at hand: the caller fetches it, and renders again. */
export class TokenWanted extends Error {
  override name = 'TokenWanted'
  readonly alias: string
  readonly audience: string | undefined

  constructor(alias: string, audience: string | undefined) {
    super(`the token ${alias} is not at hand`)
    this.alias = alias
    this.audience = audience
  }
}

/** What `token(name, audience?)` gives in the fields of one tool. */
export interface Tokens {
  get(name: unknown, audience: unknown): string
  /** Throws when there is none to be had. */
  fetch(wanted: TokenWanted): Promise<void>
}

/** Fields of a credential, or of a keychain entry, that hold a token: the first there is. */
const FIELDS = ['access_token', 'id_token', 'token']

/**
 * Tokens by name: that of the keychain's entry, else of the credential. For an audience, a credential of a Google
 * service account gives an identity token. They are in no event, for only fields of tools ask for them.
 */
export function makeTokens(
  keychain: JsonObject,
  around: { signal: AbortSignal; credentials(alias: string): Promise<Credential> },
): Tokens {
  const there = new Map<string, string>()
  const keyOf = (name: string, audience: string | undefined) => JSON.stringify([name, audience ?? null])
  return {
    get(name, audience) {
      if (typeof name !== 'string' || name === '')
        refuse('token()', 'it takes the name of a keychain entry or a credential')
      const wanted = typeof audience === 'string' && audience !== '' ? audience : undefined
      const found =
        there.get(keyOf(name, wanted)) ?? tokenIn(Object.hasOwn(keychain, name) ? keychain[name]! : null)
      if (found === undefined) throw new TokenWanted(name, wanted)
      return found
    },
    async fetch({ alias, audience }) {
      const { data } = await around.credentials(alias)
      const signed =
        audience !== undefined && typeof data.private_key === 'string'
          ? (await googleIdToken({ account: data, target_audience: audience }, around.signal)).value
          : data
      const found = tokenIn(signed)
      if (found === undefined) {
        const hint = typeof data.private_key === 'string' ? '; name the audience: token(name, audience)' : ''
        refuse(`token("${alias}")`, `the credential has no ${FIELDS.join(', ')}${hint}`)
      }
      there.set(keyOf(alias, audience), found)
    },
  }
}

function tokenIn(value: Json): string | undefined {
  if (!isObject(value)) return undefined
  for (const field of FIELDS) {
    const token = Object.hasOwn(value, field) ? value[field] : undefined
    if (typeof token === 'string' && token !== '') return token
  }
  return undefined
}

function refuse(what: string, why: string): never {
  throw makeError('NOETL_ERR_TEMPLATE_RENDER', [`${what}: ${why}`])
}
