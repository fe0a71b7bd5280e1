import { ToolError } from '@noetl/core'
import { ask } from './ask.ts'
import { credentialOf, type Given, need, parseUrl, textOf, urlOf } from './credential.ts'
import type { Provider } from './provider.ts'
import { nameOf, urlParts } from './references.ts'

const PLACE = '{name}'

/** Any server that gives a secret at a URL: its name goes in at `{name}`, or the URL is that of the only one. */
export const httpProvider: Provider = {
  async open(fields, reading) {
    const given = await credentialOf(fields, reading.credentials)
    const template = urlOf(fields, given)
    const headers = given === null ? {} : headersOf(given)
    return (name) => {
      const what = nameOf(name)
      return ask(
        { url: parseUrl(fill(template, name), 'The url'), headers, what, maxBytes: reading.maxBytes },
        reading,
      )
    }
  },
}

function fill(template: string, name: string): string {
  if (template.includes(PLACE)) {
    if (name === '')
      throw new ToolError(
        'schema',
        `The url has ${PLACE} in it and the step names no secret: give "secret", "names" or "map".`,
      )
    return template.replaceAll(PLACE, urlParts(name, nameOf(name)))
  }
  if (name === '') return template
  throw new ToolError(
    'schema',
    `The url has no ${PLACE} to put "${name}" in. For a field of the one secret that is there, write "#${name}".`,
  )
}

function headersOf(given: Given): Record<string, string> {
  switch (given.type.toLowerCase()) {
    case 'secrets_http': {
      const token = textOf(given.data, 'token')
      const header = textOf(given.data, 'header')
      if (token === undefined && header === undefined) return {}
      return header === undefined
        ? { authorization: `Bearer ${need(given, 'token')}` }
        : { [header]: need(given, 'token') }
    }
    case 'bearer':
    case 'oauth2':
      return { authorization: `Bearer ${need(given, 'token', 'access_token')}` }
    case 'api_key':
      return {
        [textOf(given.data, 'header') ?? 'X-API-Key']: need(given, 'value', 'key', 'api_key', 'token'),
      }
    default:
      throw new ToolError(
        'auth',
        `The secrets tool cannot use ${given.what} for provider http: its type is "${given.type}", not one of secrets_http, bearer, api_key.`,
      )
  }
}
