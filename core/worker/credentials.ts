import { ServerError } from '../client.ts'
import type { JsonObject } from '../schemas/json.ts'
import { type Credential, ToolError } from '../tools/define.ts'
import type { Servers } from './servers.ts'

/** How long what a server told of a credential is used, in milliseconds: a changed one counts soon after. */
const FRESH_MS = 10_000

interface Told {
  name: string
  type: string
  data: JsonObject
}

/** Credentials by alias, as tools ask for them. The empty alias is the worker's default for postgres. */
export function makeCredentials(
  servers: Servers,
  defaultAlias: string | undefined,
): (alias: string) => Promise<Credential> {
  const told = new Map<string, { at: number; credential: Promise<Credential> }>()

  async function fetch(alias: string): Promise<Credential> {
    try {
      const { name, type, data } = await servers.get<Told>(
        `/api/credentials/${encodeURIComponent(alias)}?include_data=true`,
      )
      return { name, type, data }
    } catch (error) {
      if (error instanceof ServerError)
        throw new ToolError('auth', error.message, { code: error.code, cause: error })
      const why = (error as Error).message
      throw new ToolError('connection', `The credential ${alias} could not be fetched: ${why}`, {
        cause: error,
      })
    }
  }

  return (alias) => {
    const wanted = alias === '' ? defaultAlias : alias
    if (wanted === undefined) {
      return Promise.reject(
        new ToolError(
          'auth',
          'The step names no credential ("auth: <alias>") and this worker has no default one: set NOETL_DEFAULT_POSTGRES_CREDENTIAL.',
        ),
      )
    }
    const there = told.get(wanted)
    if (there !== undefined && there.at + FRESH_MS > Date.now()) return there.credential
    const credential = fetch(wanted)
    told.set(wanted, { at: Date.now(), credential })
    credential.catch(() => told.delete(wanted))
    if (told.size > 1000) told.clear()
    return credential
  }
}
