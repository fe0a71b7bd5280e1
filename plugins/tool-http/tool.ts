import { CallAborted, CONTRACT, defineTool, isObject, type Tool, type ToolCall, ToolError } from '@noetl/core'
import { Agent } from 'undici'
import { authHeaders } from './auth.ts'
import { exchange } from './exchange.ts'
import { exchangeFailure, statusFailure } from './failures.ts'
import { type HttpInput, input, output } from './input.ts'
import { buildRequest, type Outgoing } from './request.ts'
import { readResult } from './response.ts'
import { showUrl } from './secrets.ts'

export interface HttpToolOptions {
  /** Bytes of one answer's body, unpacked. Default 32 MiB. */
  maxResponseBytes?: number
  /** Default 10. */
  maxRedirects?: number
  /** Milliseconds a connection is kept open unused. Default 10,000. */
  keepAliveMs?: number
}

const DEFAULT_TIMEOUT_SECONDS = 30

/** The http tool: one request, answered with `{status_code, headers, url, elapsed, data, body}`. */
export function httpTool(options: HttpToolOptions = {}): Tool<typeof input, typeof output> {
  const { maxResponseBytes = 32 * 1024 * 1024, maxRedirects = 10, keepAliveMs = 10_000 } = options
  const agents = openAgents(keepAliveMs)
  return defineTool({
    kind: 'http',
    contract: CONTRACT,
    input,
    output,
    effect: 'keyed',
    async run(fields, call) {
      const auth = await authHeaders(fields, (alias) => call.credentials(alias))
      const outgoing = buildRequest(fields, {
        auth,
        idempotencyKey: call.idempotencyKey,
        traceparent: call.traceparent,
      })
      const result = await withinTime(fields, outgoing, call, async (signal) => {
        const startedAt = performance.now()
        const answer = await exchange(outgoing, {
          dispatcher: fields.verify_ssl === false ? agents.trusting() : agents.strict,
          signal,
          maxRedirects: fields.follow_redirects === false ? 0 : maxRedirects,
          secretHeaders: Object.keys(auth),
        })
        return readResult(answer, { maxBytes: maxResponseBytes, startedAt })
      })
      if (Number(result.status_code) >= 400) throw statusFailure(outgoing, result)
      return result
    },
    facets(result) {
      if (!isObject(result)) return {}
      return { http: { status: result.status_code ?? null, headers: result.headers ?? {} } }
    },
    close: () => agents.close(),
  })
}

/** Runs the exchange under the step's own time limit and the call's signal, and says which of them ended it. */
async function withinTime<T>(
  fields: HttpInput,
  outgoing: Outgoing,
  call: ToolCall,
  exchanging: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const seconds = Number(fields.timeout ?? fields.timeout_seconds ?? DEFAULT_TIMEOUT_SECONDS)
  const stop = new AbortController()
  const onAbort = () => stop.abort()
  let late = false
  const timer = setTimeout(() => {
    late = true
    stop.abort()
  }, seconds * 1000)
  call.signal.addEventListener('abort', onAbort)
  try {
    call.signal.throwIfAborted()
    return await exchanging(stop.signal)
  } catch (error) {
    const what = `${outgoing.method} ${showUrl(outgoing.url)}`
    if (call.signal.aborted) {
      const { reason } = call.signal
      if (!(reason instanceof CallAborted) || reason.why !== 'deadline') throw reason
      throw new ToolError('timeout', `${what} had no whole answer when the time of the call was up.`, {
        cause: reason,
      })
    }
    if (late) throw new ToolError('timeout', `${what} had no whole answer within ${seconds} s.`)
    throw exchangeFailure(outgoing, error)
  } finally {
    clearTimeout(timer)
    call.signal.removeEventListener('abort', onAbort)
  }
}

function openAgents(keepAliveMs: number) {
  // The time limit of a request is the step's; undici's own limits per phase would cut it short.
  const common = { keepAliveTimeout: keepAliveMs, headersTimeout: 0, bodyTimeout: 0 }
  const strict = new Agent({ ...common, connect: { timeout: 0 } })
  let trusting: Agent | undefined
  let closed: Promise<void> | undefined
  return {
    strict,
    /** Takes any certificate; only made when a step asks for it. */
    trusting() {
      trusting ??= new Agent({ ...common, connect: { timeout: 0, rejectUnauthorized: false } })
      return trusting
    },
    close() {
      closed ??= Promise.all([strict.destroy(), trusting?.destroy()]).then(() => undefined)
      return closed
    },
  }
}
