import type { Logger } from 'pino'
import { request } from 'undici'
import { ServerError } from '../client.ts'
import type { LeasedCommand } from '../schemas/command.ts'
import { isObject, type Json, type JsonObject, parseJson } from '../schemas/json.ts'
import type { KeychainEntry } from '../schemas/playbook.ts'
import { put } from '../schemas/put.ts'
import { makeScope } from '../template/scope.ts'
import { compileTemplate } from '../template/template.ts'
import { type Credential, type ToolCall, ToolError } from '../tools/define.ts'
import type { ToolRegistry } from '../tools/registry.ts'
import { googleIdToken } from './google-id-token.ts'
import type { Servers } from './servers.ts'

/** How long a value without an end of its own is used, in milliseconds. */
const FRESH_MS = 60_000
/** A token this near to its end is not used any more, in milliseconds. */
const MARGIN_MS = 30_000
const MAX_KEPT = 1000
const TIMEOUT_MS = 15_000

export interface KeychainParts {
  tools: ToolRegistry
  log: Logger
  signal: AbortSignal
  credentials(alias: string): Promise<Credential>
  /** What was stored for an entry over the API; undefined when nothing was. */
  stored(catalogId: string, name: string, executionId: string): Promise<JsonObject | undefined>
  now(): string
}

/** A value and when it must be had anew. */
export interface Resolved {
  value: JsonObject
  until: number
}

/**
 * The keychain of playbooks: secrets and tokens by name, resolved on the worker and only for commands whose
 * templates name them, so that none goes through the server's events. An entry that cannot be resolved is
 * left out and logged: only a tool that truly needs its value fails.
 */
export function makeKeychain() {
  const kept = new Map<string, Resolved>()

  return async function resolve(command: LeasedCommand, parts: KeychainParts): Promise<JsonObject> {
    const values: JsonObject = {}
    for (const entry of command.context.keychain) {
      try {
        put(values, entry.name, await entryValue(entry, values, command, parts))
      } catch (err) {
        parts.signal.throwIfAborted()
        parts.log.warn(
          { keychain: entry.name, kind: entry.kind, why: (err as Error).message },
          'a keychain entry could not be resolved; it is undefined',
        )
      }
    }
    return values
  }

  async function entryValue(
    entry: KeychainEntry,
    before: JsonObject,
    command: LeasedCommand,
    parts: KeychainParts,
  ): Promise<JsonObject> {
    const { catalog_id } = command.playbook
    const config = render(entry.config, before, command, parts.now)
    const key = JSON.stringify([catalog_id, entry.name, config])
    const there = kept.get(key)
    if (there !== undefined && there.until > Date.now()) return there.value
    const stored = await parts.stored(catalog_id, entry.name, command.execution_id)
    if (stored !== undefined) return stored
    const resolved = await resolveEntry(entry, config, command, parts)
    if (kept.size >= MAX_KEPT) kept.clear()
    kept.set(key, resolved)
    return resolved.value
  }
}

function render(
  config: JsonObject,
  keychain: JsonObject,
  command: LeasedCommand,
  now: () => string,
): JsonObject {
  const { workload } = command.context
  const scope = makeScope(
    {
      executionId: command.execution_id,
      parentExecutionId: command.parent_execution_id,
      ctxFirst: false,
      workload: () => workload,
      ctxNames: () => [],
      ctx: () => undefined,
      stepNames: () => [],
      step: () => undefined,
      previous: () => undefined,
      now,
    },
    { keychain },
  )
  return compileTemplate(config).render(scope) as JsonObject
}

async function resolveEntry(
  entry: KeychainEntry,
  config: JsonObject,
  command: LeasedCommand,
  parts: KeychainParts,
): Promise<Resolved> {
  const alias = firstText(config.credential, config.alias, config.ref)
  const lasting = (value: JsonObject): Resolved => ({ value, until: Date.now() + FRESH_MS })
  switch (entry.kind) {
    case 'credential':
      return lasting((await parts.credentials(alias ?? firstText(config.auth) ?? entry.name)).data)
    case 'static':
    case 'bearer': {
      const own = isObject(config.data) ? config.data : config
      const named =
        alias ?? (own.token === undefined && own.value === undefined ? firstText(config.auth) : undefined)
      const data = named === undefined ? {} : (await parts.credentials(named)).data
      return lasting({ ...data, ...own })
    }
    case 'oauth2':
      return oauth2(config, parts)
    case 'google_id_token': {
      const account = firstText(config.service_account_credential, alias, config.auth)
      return googleIdToken({ ...config, account: await accountOf(account, config, parts) }, parts.signal)
    }
    case 'secrets':
      return lasting(await secrets(config, command, parts))
    default:
      throw new Error(
        `the kind "${entry.kind}" is unknown; there are credential, static, bearer, oauth2, google_id_token and secrets`,
      )
  }
}

async function accountOf(
  alias: string | undefined,
  config: JsonObject,
  parts: KeychainParts,
): Promise<JsonObject> {
  if (alias !== undefined) return (await parts.credentials(alias)).data
  const secret = config.service_account_secret
  const account = typeof secret === 'string' ? parseJson(secret) : secret
  if (!isObject(account)) throw new Error('it names no service account that can be read')
  return account
}

/** A token from an OAuth 2 endpoint: whatever JSON object it answers with. */
async function oauth2(config: JsonObject, parts: KeychainParts): Promise<Resolved> {
  const endpoint = firstText(config.endpoint, config.token_url, config.url)
  if (endpoint === undefined) throw new Error('it has no endpoint')
  const alias = firstText(config.auth, config.credential)
  const own = alias === undefined ? {} : (await parts.credentials(alias)).data
  const headers: Record<string, string> = { accept: 'application/json' }
  for (const [name, value] of Object.entries(isObject(config.headers) ? config.headers : {})) {
    if (value !== null && typeof value !== 'object') headers[name.toLowerCase()] = String(value)
  }
  const data = { ...own, ...(isObject(config.data) ? config.data : {}) }
  const asJson = (headers['content-type'] ?? '').includes('json')
  headers['content-type'] ??= 'application/x-www-form-urlencoded'
  const answer = await askJson(endpoint, {
    method: firstText(config.method) ?? 'POST',
    headers,
    body: typeof config.data === 'string' ? config.data : asJson ? JSON.stringify(data) : form(data),
    signal: parts.signal,
  })
  const seconds = Number(answer.expires_in)
  const until = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 - MARGIN_MS : FRESH_MS
  return { value: answer, until: Date.now() + until }
}

/** The `secrets` tool, where a plugin brings it: `{provider, map: {field: secret path}}`. */
async function secrets(
  config: JsonObject,
  command: LeasedCommand,
  parts: KeychainParts,
): Promise<JsonObject> {
  const loaded = parts.tools.get('secrets')
  if (loaded === undefined) throw new Error('this worker has no plugin with the tool kind "secrets"')
  const wrong = loaded.checkInput(config)
  if (wrong !== undefined) throw new Error(`it does not fit the secrets tool: ${wrong}`)
  const call: ToolCall = {
    signal: parts.signal,
    log: parts.log,
    attempt: 1,
    idempotencyKey: `${command.command_id}-keychain`,
    executionId: command.execution_id,
    step: command.step,
    credentials: parts.credentials,
    context: () => ({}),
  }
  const result = (await loaded.tool.run(config, call)) ?? null
  if (!isObject(result)) throw new ToolError('schema', 'the secrets tool gave no object')
  return isObject(result.values) ? { ...result, ...result.values } : result
}

/** What was stored for an entry over the API. */
export async function storedKey(
  servers: Servers,
  key: { catalogId: string; name: string; executionId: string },
): Promise<JsonObject | undefined> {
  const path = `/api/keychain/${key.catalogId}/${encodeURIComponent(key.name)}?execution_id=${key.executionId}`
  try {
    const { data } = await servers.get<{ data?: Json }>(path)
    return isObject(data) ? data : undefined
  } catch (error) {
    if (error instanceof ServerError && error.statusCode === 404) return undefined
    throw error
  }
}

/** One request whose answer must be a JSON object; errors never show the body that was sent. */
export async function askJson(
  url: string,
  options: { method: string; headers: Record<string, string>; body: string; signal: AbortSignal },
): Promise<JsonObject> {
  const { statusCode, body } = await request(url, {
    method: options.method.toUpperCase() as 'POST',
    headers: options.headers,
    ...(options.method.toUpperCase() === 'GET' ? {} : { body: options.body }),
    signal: AbortSignal.any([options.signal, AbortSignal.timeout(TIMEOUT_MS)]),
  })
  const text = await body.text()
  if (statusCode >= 400) throw new Error(`its endpoint answered ${statusCode}`)
  const answer: Json = parseJson(text)
  if (!isObject(answer)) throw new Error('its endpoint answered no JSON object')
  return answer
}

export function form(data: JsonObject): string {
  const pairs = new URLSearchParams()
  for (const [key, value] of Object.entries(data)) {
    if (value === null) continue
    pairs.set(key, typeof value === 'object' ? JSON.stringify(value) : String(value))
  }
  return pairs.toString()
}

function firstText(...values: (Json | undefined)[]): string | undefined {
  return values.find((value): value is string => typeof value === 'string' && value !== '')
}
