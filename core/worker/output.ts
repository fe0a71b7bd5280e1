import type { Logger } from 'pino'
import type { LeasedCommand, Outcome, OutputLine } from '../schemas/command.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Credential, ToolLog } from '../tools/define.ts'
import type { Surroundings } from './run-command.ts'
import type { Servers } from './servers.ts'

/** Of one attempt of a command: what is kept of its output, and of its end when there is more. */
const MAX_LINES = 1000
const MAX_BYTES = 64 * 1024
const LAST_LINES = 50
const LINE_CHARACTERS = 2000
/** How often what a long command wrote is sent before its end, in milliseconds. */
const SEND_MS = 2000
/** Values shorter than this are not told from other text. */
const SECRET_CHARACTERS = 4

const SECRET_NAME = /pass|secret|token|key|auth|credential|dsn|private|cookie|connection/i
const SECRET_TEXT =
  /\b((?:proxy-)?authorization|password|passwd|secret|(?:access_|refresh_|id_)?token|api[_-]?key)(["']?\s*[:=]\s*["']?)((?:bearer|basic)\s+)?[^\s"',;&}]+/gi

/**
 * Runs a command and keeps what its tools log: the first lines and the last ones, without secrets. They go with its
 * report, so that short commands cost no request; those of long ones are sent while it runs.
 */
export async function withOutput(
  command: LeasedCommand,
  around: Surroundings,
  { servers, hint, log }: { servers: Pick<Servers, 'post'>; hint: string; log: Logger },
  run: (around: Surroundings) => Promise<Outcome>,
): Promise<Outcome> {
  const { execution_id, command_id, step, attempt } = command
  const kept = makeKept()
  let sent = 0
  let sending: Promise<void> = Promise.resolve()

  function send(): void {
    sending = sending.then(async () => {
      const lines = kept.take()
      if (lines.length === 0) return
      sent += 1
      const event = {
        ...{ execution_id, step, name: 'call.log' },
        ...{ payload: { lines }, meta: { command_id, attempt } },
        event_id: `log/${command_id}/${attempt}/${sent}`,
      }
      await servers.post('/api/v2/events', event, { hint }).catch((err: Error) => {
        kept.giveBack(lines)
        log.debug({ why: err.message, command_id }, 'output of a command could not be sent yet')
      })
    })
  }

  const timer = setInterval(send, SEND_MS)
  timer.unref()
  try {
    const outcome = await run({
      ...around,
      toolLog: kept.log(around.log),
      async credentials(alias) {
        const credential = await around.credentials(alias)
        kept.hide(credential)
        return credential
      },
      async keychain(of) {
        const values = await around.keychain(of)
        kept.hideAll(values)
        return values
      },
    })
    clearInterval(timer)
    await sending
    const lines = [...kept.take(), ...kept.last()]
    return lines.length === 0 ? outcome : { ...outcome, log: { lines } }
  } catch (error) {
    // There will be no report.
    send()
    throw error
  } finally {
    clearInterval(timer)
  }
}

function makeKept() {
  const secrets = new Set<string>()
  let waiting: OutputLine[] = []
  /** The newest of those for which there was no room. */
  let last: OutputLine[] = []
  let dropped = 0
  let lines = 0
  let bytes = 0

  function clean(text: string): string {
    let cleaned = text.length > LINE_CHARACTERS ? `${text.slice(0, LINE_CHARACTERS)}…` : text
    for (const secret of secrets) cleaned = cleaned.replaceAll(secret, '***')
    return cleaned.replaceAll(SECRET_TEXT, '$1$2***').replaceAll('\0', '')
  }

  function add(line: OutputLine): void {
    lines += 1
    bytes += line.text.length
    if (lines <= MAX_LINES && bytes <= MAX_BYTES) {
      waiting.push(line)
      return
    }
    last.push(line)
    if (last.length > LAST_LINES) {
      last.shift()
      dropped += 1
    }
  }

  function hideAll(value: Json): void {
    if (typeof value === 'string') {
      if (value.length >= SECRET_CHARACTERS) secrets.add(value)
    } else if (isObject(value) || Array.isArray(value)) Object.values(value).forEach(hideAll)
  }

  return {
    /** Lines since the last time. */
    take: () => waiting.splice(0),
    giveBack(unsent: OutputLine[]) {
      waiting = [...unsent, ...waiting]
    },
    /** The end of what was too much, and how much is missing before it. */
    last(): OutputLine[] {
      const end = last
      last = []
      if (dropped === 0) return end
      const at = end[0]?.at ?? new Date().toISOString()
      return [{ at, level: 'warn', text: `… ${dropped} lines are left out` }, ...end]
    },
    hide({ data }: Credential) {
      for (const [name, value] of Object.entries(data)) if (SECRET_NAME.test(name)) hideAll(value)
    },
    hideAll,
    /** Logs to the process and keeps, without secrets. */
    log(to: Logger): ToolLog {
      const level = (name: OutputLine['level']) => (facts: object, message: string) => {
        const { stream, line, ...rest } = facts as { stream?: unknown; line?: unknown }
        const at = new Date().toISOString()
        if (typeof line === 'string') {
          const text = clean(line)
          to[name]({ ...rest, stream, line: text }, message)
          add({ at, level: name, ...(typeof stream === 'string' ? { stream } : {}), text })
          return
        }
        to[name](facts, message)
        // Debugging is for who runs the worker; the rest for who wrote the playbook.
        if (name !== 'debug') add({ at, level: name, text: clean(told(message, facts)) })
      }
      return { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') }
    },
  }
}

/** A sentence with its plain facts. */
function told(message: string, facts: object): string {
  const plain: JsonObject = {}
  for (const [name, value] of Object.entries(facts)) {
    if (['string', 'number', 'boolean'].includes(typeof value)) plain[name] = value as Json
  }
  return Object.keys(plain).length === 0 ? message : `${message} ${JSON.stringify(plain)}`
}
