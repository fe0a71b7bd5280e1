import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { makeError } from './errors.ts'
import type { EncryptionKey } from './schemas/encryption-key.ts'
import { isObject, type JsonObject } from './schemas/json.ts'
import { isPlaceName } from './schemas/lanes.ts'
import { PLAYBOOK_LIMITS, type PlaybookLimits } from './schemas/playbook-limits.ts'

/** Everything that can be set, read once at the start. The CLI's flags lie over the environment. */
export interface Config {
  databaseUrl: string
  natsUrl: string
  /** Copies of the stream, should it have to be made: 3 in a cluster of three. */
  natsReplicas: number
  /** Where workers and the CLI find a server. */
  serverApiUrl: string
  host: string
  /** 0: any free port. */
  port: number
  /** What notifications name as this server's address; default: host and port. */
  publicUrl: string | undefined
  dataDir: string
  /** Days that ended executions are kept; 0: for ever. */
  retentionDays: number
  logLevel: string
  /** Bearer token that every request must carry; undefined: none, and then only loopback may listen. */
  apiToken: string | undefined
  encryptionKey: EncryptionKey | undefined
  /** Plugins to load: names, directories or files. Empty: all that are installed beside the core. */
  plugins: readonly string[]
  /** Folder into which `noetlctl plugins` installs; undefined: there is none. */
  pluginsDir: string | undefined
  /** Start without plugins that cannot be used, and say so, instead of not at all. */
  skipBroken: boolean
  /** Options of plugins without tools, by name: `{"@noetl/metrics": {"path": "/metrics"}}`; false: not loaded. */
  pluginOptions: Readonly<Record<string, JsonObject | false>>
  /** Whether clients may have SQL run by the server, with a stored credential. */
  sqlApi: boolean
  /** Variables of the environment that templates of workloads may read, by name; those not set are left out. */
  templateEnv: Readonly<Record<string, string>>
  /** Connections to Postgres of one server. */
  databaseConnections: number
  /** Bytes of a request's body. */
  maxBodyBytes: number
  /** What a playbook may be at most that is registered or validated. */
  playbook: { limits: Readonly<PlaybookLimits> }
  /** Seconds a lease lasts unless renewed. */
  leaseSeconds: number
  /** Seconds after which a command that no one claimed is announced again. */
  reannounceSeconds: number
  /** Seconds a process waits for Postgres and NATS at its start. */
  startPatienceSeconds: number
  /** Which commands go to which pool of workers; the first rule that holds decides. */
  routes: readonly { kind?: string; step?: string; path?: string; pool: string }[]
  worker: {
    name: string
    slots: number
    /** Empty: all that there are. */
    lanes: readonly string[]
    pool: string
    /** Seconds that running commands have to finish when the worker is told to stop. */
    graceSeconds: number
    /** Port for health; 0: any free one; undefined: none. */
    port: number | undefined
    /** Credential that `postgres` steps without `auth` use. */
    defaultPostgresCredential: string | undefined
    /** Options of tools, by kind: `{"python": {"python": "/opt/venv/bin/python"}}`. */
    toolOptions: Readonly<Record<string, JsonObject>>
  }
}

type Source = Readonly<Record<string, string | undefined>>

/** Reads the environment; throws NOETL_ERR_CONFIG_INVALID with every fault at once. */
export function readConfig(flags: Source = {}, env: Source = process.env): Config {
  const faults: string[] = []
  const get = (name: string): string | undefined => {
    const value = flags[name] ?? env[name]
    return value === undefined || value === '' ? undefined : value
  }
  const number = (name: string, fallback: number, min: number, max: number): number => {
    const text = get(name)
    if (text === undefined) return fallback
    const value = Number(text)
    if (Number.isFinite(value) && value >= min && value <= max) return value
    faults.push(`${name} is "${text}"; a number from ${min} to ${max} was expected`)
    return fallback
  }
  const url = (name: string, fallback: string, protocols: string[]): string => {
    const text = get(name) ?? fallback
    for (const part of text.split(',')) {
      if (!URL.canParse(part.trim()) || !protocols.includes(new URL(part.trim()).protocol)) {
        faults.push(`${name} is no ${protocols.join(' or ')} URL; such as ${fallback} was expected`)
        break
      }
    }
    return text
  }
  const list = (name: string, fallback: string[]): string[] =>
    get(name)
      ?.split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '') ?? fallback

  const host = get('NOETL_HOST') ?? '127.0.0.1'
  const port = number('NOETL_PORT', 8082, 0, 65535)
  const apiToken = get('NOETL_API_TOKEN')
  if (!isLoopback(host) && apiToken === undefined) {
    faults.push(
      `NOETL_HOST is ${host}, which other machines reach, and there is no NOETL_API_TOKEN: set one, or listen on 127.0.0.1`,
    )
  }
  const config: Config = {
    databaseUrl: url('DATABASE_URL', 'postgresql://noetl:noetl@127.0.0.1:5432/noetl', [
      'postgres:',
      'postgresql:',
    ]),
    natsUrl: url('NATS_URL', 'nats://127.0.0.1:4222', ['nats:', 'tls:']),
    natsReplicas: number('NOETL_NATS_REPLICAS', 1, 1, 5),
    serverApiUrl: url('SERVER_API_URL', `http://127.0.0.1:${port || 8082}`, ['http:', 'https:']).replace(
      /\/$/,
      '',
    ),
    host,
    port,
    publicUrl:
      get('NOETL_PUBLIC_URL') === undefined
        ? undefined
        : url('NOETL_PUBLIC_URL', 'https://noetl.example.com', ['http:', 'https:']).replace(/\/$/, ''),
    dataDir: resolve(get('NOETL_DATA_DIR') ?? '.noetl'),
    retentionDays: number('NOETL_RETENTION_DAYS', 0, 0, 36_500),
    logLevel: oneOf(
      'NOETL_LOG_LEVEL',
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
      'info',
    ),
    apiToken,
    encryptionKey: readKey(),
    plugins: list('NOETL_PLUGINS', []),
    pluginsDir: get('NOETL_PLUGINS_DIR'),
    skipBroken: oneOf('NOETL_SKIP_BROKEN', ['off', 'on'], 'off') === 'on',
    pluginOptions: readPluginOptions(),
    sqlApi: oneOf('NOETL_SQL_API', ['off', 'on'], 'off') === 'on',
    templateEnv: Object.fromEntries(
      list('NOETL_TEMPLATE_ENV', []).flatMap((name) => {
        const value = env[name]
        return value === undefined ? [] : [[name, value]]
      }),
    ),
    databaseConnections: number('NOETL_DATABASE_CONNECTIONS', 16, 4, 500),
    maxBodyBytes: number('NOETL_MAX_BODY_BYTES', 64 * 1024 * 1024, 1024, 1024 * 1024 * 1024),
    playbook: {
      limits: {
        bytes: number('NOETL_MAX_PLAYBOOK_BYTES', PLAYBOOK_LIMITS.bytes, 1024, 64 * 1024 * 1024),
        nodes: number('NOETL_MAX_PLAYBOOK_NODES', PLAYBOOK_LIMITS.nodes, 100, 10_000_000),
        steps: number('NOETL_MAX_PLAYBOOK_STEPS', PLAYBOOK_LIMITS.steps, 1, 100_000),
        arcs: number('NOETL_MAX_PLAYBOOK_ARCS', PLAYBOOK_LIMITS.arcs, 1, 1_000_000),
      },
    },
    leaseSeconds: number('NOETL_LEASE_SECONDS', 15, 1, 3600),
    reannounceSeconds: number('NOETL_REANNOUNCE_SECONDS', 5, 0.1, 3600),
    startPatienceSeconds: number('NOETL_START_PATIENCE_SECONDS', 30, 0, 3600),
    routes: readRoutes(),
    worker: {
      name: get('NOETL_WORKER_NAME') ?? `${hostname()}-${process.pid}`,
      slots: number('NOETL_WORKER_SLOTS', 16, 1, 1000),
      lanes: list('NOETL_WORKER_LANES', []),
      pool: get('NOETL_WORKER_POOL') ?? '',
      graceSeconds: number('NOETL_WORKER_GRACE_SECONDS', 20, 0, 3600),
      port: get('NOETL_WORKER_PORT') === undefined ? undefined : number('NOETL_WORKER_PORT', 0, 0, 65535),
      defaultPostgresCredential: get('NOETL_DEFAULT_POSTGRES_CREDENTIAL'),
      toolOptions: readToolOptions(),
    },
  }
  for (const word of [...config.worker.lanes, config.worker.pool]) {
    if (word !== '' && !isPlaceName(word)) {
      faults.push(`"${word}" is no name for a lane or pool; letters, digits, - and _ were expected`)
    }
  }
  if (faults.length > 0) {
    throw makeError('NOETL_ERR_CONFIG_INVALID', [faults.map((fault) => `  ${fault}`).join('\n')], {
      details: { faults },
    })
  }
  return deepFreeze(config)

  function oneOf(name: string, words: string[], fallback: string): string {
    const text = get(name) ?? fallback
    if (!words.includes(text)) faults.push(`${name} is "${text}"; one of ${words.join(', ')} was expected`)
    return text
  }

  function readToolOptions(): Record<string, JsonObject> {
    const text = get('NOETL_TOOL_OPTIONS')
    const python = get('NOETL_PYTHON')
    const preload = list('NOETL_PYTHON_PRELOAD', [])
    let given: unknown = {}
    try {
      given = text === undefined ? {} : JSON.parse(text)
    } catch {
      given = undefined
    }
    if (!isObject(given) || !Object.values(given).every(isObject)) {
      faults.push(
        'NOETL_TOOL_OPTIONS is not as expected; JSON such as {"http": {"maxRedirects": 5}} was expected',
      )
      return {}
    }
    const options = given as Record<string, JsonObject>
    // What the set-up unpacked for python code beside what the interpreter has.
    const fallbackPath = join(resolve(get('NOETL_DATA_DIR') ?? '.noetl'), 'python')
    const own: JsonObject = {
      ...(python === undefined ? {} : { python }),
      ...(preload.length === 0 ? {} : { preload }),
      ...(existsSync(fallbackPath) ? { fallbackPath } : {}),
    }
    return Object.keys(own).length === 0 ? options : { ...options, python: { ...own, ...options.python } }
  }

  function readPluginOptions(): Record<string, JsonObject | false> {
    const text = get('NOETL_PLUGIN_OPTIONS')
    if (text === undefined) return {}
    try {
      const given: unknown = JSON.parse(text)
      if (isObject(given) && Object.values(given).every((value) => value === false || isObject(value)))
        return given as Record<string, JsonObject | false>
    } catch {
      // Told below.
    }
    faults.push(
      'NOETL_PLUGIN_OPTIONS is not as expected; JSON such as {"@noetl/metrics": false} was expected',
    )
    return {}
  }

  function readRoutes(): Config['routes'] {
    const text = get('NOETL_ROUTES')
    if (text === undefined) return []
    try {
      const given: unknown = JSON.parse(text)
      if (Array.isArray(given) && given.length <= MOST_ROUTES && given.every(isRoute)) return given
    } catch {
      // Told below.
    }
    faults.push(
      `NOETL_ROUTES is not as expected; a JSON list of up to ${MOST_ROUTES} rules such as {"kind": "duckdb", "pool": "analytics"}, each with a pool and with kind, step or path, was expected`,
    )
    return []
  }

  function readKey(): EncryptionKey | undefined {
    const file = get('NOETL_ENCRYPTION_KEY_FILE')
    let text = get('NOETL_ENCRYPTION_KEY')
    if (file !== undefined) {
      try {
        text = readFileSync(file, 'utf8').trim()
      } catch (error) {
        faults.push(`NOETL_ENCRYPTION_KEY_FILE cannot be read: ${(error as Error).message}`)
        return undefined
      }
    }
    if (text === undefined) return undefined
    const bytes = Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? 'hex' : 'base64')
    if (bytes.length !== 32) {
      faults.push(
        `the encryption key has ${bytes.length} bytes; 32, in base64 or hex, were expected (openssl rand -base64 32)`,
      )
      return undefined
    }
    return { id: createHash('sha256').update(bytes).digest('hex').slice(0, 8), bytes }
  }
}

const MOST_ROUTES = 100

function isRoute(value: unknown): value is Config['routes'][number] {
  if (!isObject(value)) return false
  const { pool, ...conditions } = value
  const names = Object.keys(conditions)
  return (
    typeof pool === 'string' &&
    isPlaceName(pool) &&
    names.length > 0 &&
    names.every((name) => ['kind', 'step', 'path'].includes(name)) &&
    Object.values(conditions).every((word) => typeof word === 'string' && word !== '')
  )
}

/** True for an address that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) {
    if (typeof part === 'object' && part !== null && !Buffer.isBuffer(part) && !ArrayBuffer.isView(part)) {
      if (!('bytes' in part)) deepFreeze(part)
    }
  }
  return Object.freeze(value)
}
