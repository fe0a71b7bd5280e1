import { isObject, ToolError } from '@noetl/core'
import { askJson } from './ask.ts'
import { credentialOf, type Given, parseUrl, textOf, urlOf } from './credential.ts'
import { googleToken } from './google-token.ts'
import type { SecretsInput } from './input.ts'
import type { Provider } from './provider.ts'
import { nameOf } from './references.ts'

const NAME =
  /^(?:(projects\/[a-zA-Z0-9][a-zA-Z0-9:.-]*(?:\/locations\/[a-z0-9-]+)?)\/secrets\/)?([a-zA-Z0-9_-]{1,255})(?:\/versions\/([a-zA-Z0-9_-]+))?$/
const PROJECT = /^(?:projects\/)?[a-zA-Z0-9][a-zA-Z0-9:.-]*$/

/** Google Secret Manager: a secret's version by its whole path, or by its name in the step's project. */
export function gcpProvider(options: { url: string }): Provider {
  return {
    async open(fields, reading) {
      const given = await credentialOf(fields, reading.credentials)
      if (given === null) {
        throw new ToolError(
          'auth',
          'Provider gcp needs "auth": a credential with an access token, a service account key or a refresh token.',
        )
      }
      const base = parseUrl(urlOf(fields, given, options.url), 'The url of gcp')
      const token = await googleToken(given, reading)
      const headers = { authorization: `Bearer ${token}` }
      return async (name) => {
        const what = nameOf(name)
        const path = pathOf(name, fields, given)
        const url = new URL(`${base.origin}${base.pathname.replace(/\/+$/, '')}/v1/${path}:access`)
        // In base64, with its path beside it.
        const maxBytes = Math.ceil((reading.maxBytes * 4) / 3) + 4096
        const body = await askJson({ url, headers, what, maxBytes }, reading)
        const data = isObject(body) && isObject(body.payload) ? body.payload.data : undefined
        if (typeof data !== 'string') {
          throw new ToolError('parse', `${what}: ${url.origin} answered with no {payload: {data: …}}.`)
        }
        return { bytes: Buffer.from(data, 'base64'), isJson: false }
      }
    },
  }
}

function pathOf(name: string, fields: SecretsInput, given: Given): string {
  const parts = NAME.exec(name)
  if (parts === null) {
    throw new ToolError(
      'schema',
      `${nameOf(name)} is no name of Secret Manager: "name" or "projects/…/secrets/name/versions/…" was expected.`,
    )
  }
  const [, where, secret, version] = parts
  return `${where ?? projectOf(name, fields, given)}/secrets/${secret}/versions/${version ?? versionOf(fields)}`
}

function projectOf(name: string, fields: SecretsInput, given: Given): string {
  const own = fields.project === null || fields.project === undefined ? undefined : String(fields.project)
  const project = own ?? textOf(given.data, 'project_id', 'project', 'quota_project_id')
  if (project === undefined || !PROJECT.test(project)) {
    throw new ToolError(
      'schema',
      `${nameOf(name)} needs a project: give "project", or the whole path "projects/…/secrets/…".`,
    )
  }
  return project.startsWith('projects/') ? project : `projects/${project}`
}

function versionOf(fields: SecretsInput): string {
  const version = String(fields.version ?? 'latest')
  if (!/^[a-zA-Z0-9_-]+$/.test(version)) {
    throw new ToolError(
      'schema',
      '"version" is no version of Secret Manager: a number, an alias or "latest" was expected.',
    )
  }
  return version
}
