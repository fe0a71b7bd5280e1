import {
  CallAborted,
  CONTRACT,
  defineTool,
  type JsonObject,
  type Tool,
  type ToolCall,
  ToolError,
} from '@noetl/core'
import { Agent } from 'undici'
import { input, output, type SecretsInput, textFields } from './input.ts'
import type { Content, Provider } from './provider.ts'
import { envProvider } from './provider-env.ts'
import { fileProvider } from './provider-file.ts'
import { gcpProvider } from './provider-gcp.ts'
import { httpProvider } from './provider-http.ts'
import { vaultProvider } from './provider-vault.ts'
import { nameOf, referencesOf, resultOf } from './references.ts'
import { readValue } from './value.ts'

export interface SecretsToolOptions {
  /** Variables that provider env may read; `PREFIX_*` for all that begin so. Default `NOETL_SECRET_*`. */
  envNames?: string[]
  /** Folder that provider file reads from. Without it there are no secrets in files. */
  fileFolder?: string
  /** Of Secret Manager, where no credential names another. Default Google's. */
  gcpUrl?: string
  /** Of Vault, where neither credential nor step names one. */
  vaultUrl?: string
  /** Bytes of one secret. Default 256 KiB. */
  maxSecretBytes?: number
  /** Seconds a call may take when the step names no `timeout`. Default 15. */
  timeoutSeconds?: number
}

/** The secrets tool: reads one secret or several from one provider. */
export function secretsTool(options: SecretsToolOptions = {}): Tool<typeof input, typeof output> {
  const { maxSecretBytes = 256 * 1024, timeoutSeconds = 15 } = options
  const providers: Record<string, Provider> = {
    env: envProvider({ allowed: options.envNames ?? ['NOETL_SECRET_*'], env: process.env }),
    file: fileProvider({ folder: options.fileFolder }),
    http: httpProvider,
    gcp: gcpProvider({ url: options.gcpUrl ?? 'https://secretmanager.googleapis.com' }),
    vault: vaultProvider({ url: options.vaultUrl }),
  }
  // The time limit is that of the call; undici's own limits per phase would cut it short.
  const agent = new Agent({ connections: 8, headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 0 } })
  let closed: Promise<void> | undefined

  async function read(fields: SecretsInput, call: ToolCall, stop: AbortController): Promise<JsonObject> {
    const references = referencesOf(fields)
    const provider = Object.hasOwn(providers, fields.provider) ? providers[fields.provider] : undefined
    if (provider === undefined) {
      throw new ToolError(
        'schema',
        `The secrets tool has no provider "${fields.provider.slice(0, 100)}"; there are ${Object.keys(providers).join(', ')}.`,
      )
    }
    const nameless = references.find(({ name }) => name === '')
    if (nameless !== undefined && provider !== httpProvider) {
      throw new ToolError(
        'schema',
        'The secrets tool needs "secret", "names" or "map"; it is missing or rendered to nothing.',
      )
    }
    const readOne = await provider.open(fields, {
      credentials: (alias) => call.credentials(alias),
      signal: stop.signal,
      dispatcher: agent,
      maxBytes: maxSecretBytes,
    })
    // A secret of which several fields are wanted is read once.
    const names = [...new Set(references.map(({ name }) => name))]
    const contents = new Map<string, Content>()
    const reading = names.map(async (name) => {
      const content = await readOne(name)
      if ('bytes' in content && content.bytes.length > maxSecretBytes) {
        throw new ToolError(
          'tool_error',
          `${nameOf(name)} has more than ${maxSecretBytes} bytes, the limit for one secret.`,
        )
      }
      contents.set(name, content)
    })
    await Promise.all(reading)
    const encoding = fields.encoding ?? 'utf8'
    return resultOf(
      references,
      references.map((reference) => readValue(contents.get(reference.name)!, reference, encoding)),
    )
  }

  return defineTool({
    kind: 'secrets',
    contract: CONTRACT,
    input,
    output,
    textFields,
    effect: 'pure',
    run: (fields, call) => {
      const seconds = Number(fields.timeout ?? fields.timeout_seconds ?? timeoutSeconds)
      return withinTime(call, seconds, (stop) => read(fields, call, stop))
    },
    close() {
      closed ??= agent.destroy()
      return closed
    },
  })
}

/** Runs the reading under the step's time limit and the call's signal, and says which of them ended it. */
async function withinTime(
  call: ToolCall,
  seconds: number,
  reading: (stop: AbortController) => Promise<JsonObject>,
): Promise<JsonObject> {
  call.signal.throwIfAborted()
  const stop = new AbortController()
  const onAbort = () => stop.abort()
  call.signal.addEventListener('abort', onAbort, { once: true })
  let late = false
  const timer = setTimeout(
    () => {
      late = true
      stop.abort()
    },
    Math.min(seconds * 1000, 2 ** 31 - 1),
  )
  // A file on a server that hangs does not hear signals: the call ends all the same.
  const stopped = new Promise<never>((_resolve, reject) => {
    stop.signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true })
  })
  try {
    return await Promise.race([reading(stop), stopped])
  } catch (error) {
    if (call.signal.aborted) {
      const { reason } = call.signal
      if (!(reason instanceof CallAborted) || reason.why !== 'deadline') throw reason
      throw new ToolError('timeout', 'The secrets were not read when the time of the call was up.', {
        cause: reason,
      })
    }
    if (late) throw new ToolError('timeout', `The secrets were not read within ${seconds} s.`)
    throw error
  } finally {
    clearTimeout(timer)
    call.signal.removeEventListener('abort', onAbort)
    // Ends requests for secrets that nobody waits for any more.
    stopped.catch(() => {})
    stop.abort()
  }
}
