import { isObject, ToolError } from '@noetl/core'
import { askJson } from './ask.ts'
import { credentialOf, need, parseUrl, textOf, urlOf } from './credential.ts'
import type { Provider } from './provider.ts'
import { nameOf, urlParts } from './references.ts'

/** The key-value engine of HashiCorp Vault, version 2: a secret is an object at a path. */
export function vaultProvider(options: { url: string | undefined }): Provider {
  return {
    async open(fields, reading) {
      const given = await credentialOf(fields, reading.credentials)
      if (given === null) {
        throw new ToolError('auth', 'Provider vault needs "auth": a credential with "token" and "url".')
      }
      const base = parseUrl(urlOf(fields, given, options.url), 'The url of vault')
      const namespace = fields.namespace ?? textOf(given.data, 'namespace')
      const mount = urlParts(fields.mount ?? textOf(given.data, 'mount') ?? 'secret', 'The mount of vault')
      const headers = {
        'x-vault-token': need(given, 'token', 'vault_token'),
        'x-vault-request': 'true',
        ...(namespace === undefined ? {} : { 'x-vault-namespace': namespace }),
      }
      return async (name) => {
        const what = nameOf(name)
        const url = new URL(
          `${base.origin}${base.pathname.replace(/\/+$/, '')}/v1/${mount}/data/${urlParts(name, what)}`,
        )
        if (fields.version !== undefined && fields.version !== null)
          url.searchParams.set('version', String(fields.version))
        // The secret comes with facts about its versions.
        const body = await askJson({ url, headers, what, maxBytes: reading.maxBytes + 4096 }, reading)
        const data = isObject(body) && isObject(body.data) ? body.data.data : undefined
        if (!isObject(data)) {
          throw new ToolError(
            'parse',
            `${what}: ${url.origin} answered with no {data: {data: {…}}}. Is the engine at this mount key-value version 2?`,
          )
        }
        return { json: data }
      }
    },
  }
}
