import { type Credential, isNumber, isObject, type JsonObject, ToolError } from '@noetl/core'
import type { SecretsInput } from './input.ts'

/** The credential of a step: stored, given inline, or stored with what the step says laid over it. */
export interface Given {
  type: string
  data: JsonObject
  /** As messages name it. */
  what: string
}

/** Null when the step names none. */
export async function credentialOf(
  fields: SecretsInput,
  credentials: (alias: string) => Promise<Credential>,
): Promise<Given | null> {
  const auth = fields.auth ?? fields.credential
  if (auth === undefined || auth === null || auth === '') return null
  if (typeof auth === 'string') {
    const { type, data } = await credentials(auth)
    return { type, data, what: `credential ${auth}` }
  }
  const given = Object.fromEntries(Object.entries(auth).filter(([, value]) => value !== null)) as JsonObject
  const type = textOf(given, 'type', 'kind')
  const alias = textOf(given, 'credential', 'alias', 'name')
  if (alias === undefined) return { type: type ?? '', data: given, what: 'auth' }
  const stored = await credentials(alias)
  const data = { ...(isObject(stored.data) ? stored.data : {}), ...given }
  return { type: type ?? stored.type, data, what: `credential ${alias}` }
}

/** The first of these fields that holds text. */
export function textOf(data: JsonObject, ...names: string[]): string | undefined {
  for (const name of names) {
    const value = data[name]
    if (typeof value === 'string' && value !== '') return value
    if (isNumber(value)) return String(value)
  }
  return undefined
}

/** The first of these fields, or ToolError `auth`. */
export function need(given: Given, ...names: string[]): string {
  const value = textOf(given.data, ...names)
  if (value === undefined)
    throw new ToolError('auth', `The secrets tool misses "${names[0]}" in ${given.what}.`)
  return value
}

/** The URL that secrets are asked from: of the credential, the step, or else a default. Throws ToolError `schema`. */
export function urlOf(fields: SecretsInput, given: Given | null, fallback?: string): string {
  const own = given === null ? undefined : textOf(given.data, 'url', 'address', 'base_url', 'vault_addr')
  const url = fields.url === null || fields.url === '' ? undefined : fields.url
  if (own !== undefined && url !== undefined && own !== url) {
    throw new ToolError(
      'schema',
      `Both the step and its ${given?.what} hold a url. A credential is for the place that it names: leave url out of the step.`,
    )
  }
  const found = own ?? url ?? fallback
  if (found === undefined) {
    throw new ToolError(
      'schema',
      `The secrets tool needs the "url" of a server for provider ${fields.provider}, in the step or its credential.`,
    )
  }
  return found
}

/** A URL for requests: http or https, without a user in it. `what` is how messages name it. */
export function parseUrl(text: string, what: string): URL {
  const url = URL.parse(text)
  // The text itself may hold a secret, in its user part or query.
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new ToolError('schema', `${what} is no http or https URL.`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new ToolError('schema', `${what} holds a user or password: put them in a credential.`)
  }
  return url
}
