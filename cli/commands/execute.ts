import { readFile } from 'node:fs/promises'
import { isObject, type JsonObject, makeError, parseJson } from '@noetl/core'
import { Args, Errors, Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../base-command.ts'
import { EXIT } from '../exit-codes.ts'
import { follow } from '../follow.ts'
import { eventLine, summary } from '../output/execution.ts'
import { readStandardInput } from '../standard-input.ts'

export default class Execute extends BaseCommand {
  static override summary = 'Start a playbook, and wait for its end if asked to'
  static override examples = [
    '<%= config.bin %> execute tests/fixtures/playbooks/hello_world --set message=hi --watch',
    '<%= config.bin %> execute reports/daily --payload @payload.json --wait --timeout 300',
  ]
  static override args = {
    path: Args.string({ required: true, description: 'path of the playbook in the catalog' }),
  }
  static override flags = {
    ...requestFlags,
    payload: Flags.string({ description: 'JSON, @file, or @- for standard input; laid over the workload' }),
    set: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      description: 'key=value of the payload; JSON where it parses, else text; dots nest. May be repeated',
    }),
    version: Flags.string({ description: 'version of the playbook; default: the newest' }),
    lane: Flags.string({ description: 'lane of its commands, where the playbook names none' }),
    watch: Flags.boolean({ description: 'show what happens, until the end', exclusive: ['wait'] }),
    wait: Flags.boolean({ description: 'wait for the end, show the result' }),
    timeout: Flags.integer({
      min: 1,
      description: 'seconds to wait; then exit code 124, and the execution goes on',
    }),
    full: Flags.boolean({ description: 'show results uncut' }),
  }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(Execute)
    if (flags.timeout !== undefined && !flags.wait && !flags.watch) {
      throw new Errors.CLIError('--timeout says how long to wait: give --wait or --watch with it', {
        exit: EXIT.usage,
      })
    }
    const payload = { ...(await readPayload(flags.payload)) }
    for (const pair of flags.set ?? []) setPair(payload, pair)
    const client = this.client(flags)
    const started = await client.request<{
      execution_id: string
      status: string
      commands_generated: number
    }>('POST', '/api/v2/execute', {
      path: args.path,
      payload,
      ...(flags.lane === undefined ? {} : { lane: flags.lane }),
      ...(flags.version === undefined ? {} : { version: flags.version }),
    })
    const { execution_id: id } = started
    if (!flags.watch && !flags.wait) {
      this.log(`started execution ${id}`)
      this.log(`watch it with: noetlctl execution watch ${id}`)
      return started
    }
    if (!this.jsonEnabled()) this.logToStderr(`execution ${id}`)
    const ended = await follow(client, id, {
      ...(flags.watch && !this.jsonEnabled()
        ? {
            onEvent: (event) => {
              const line = eventLine(event)
              if (line !== undefined) this.log(line)
            },
          }
        : {}),
      ...(flags.timeout === undefined ? {} : { timeoutSeconds: flags.timeout }),
    })
    if (ended === undefined) {
      process.exitCode = EXIT.timedOut
      this.logToStderr(
        `not done after ${flags.timeout} s; it goes on. Watch it with: noetlctl execution watch ${id}`,
      )
      return { ...started, status: 'RUNNING', timed_out: true }
    }
    if (ended.status !== 'COMPLETED') process.exitCode = EXIT.failed
    this.log(summary(ended, { full: flags.full, result: true }))
    return ended
  }
}

async function readPayload(written: string | undefined): Promise<JsonObject> {
  if (written === undefined) return {}
  const text =
    written === '@-'
      ? await readStandardInput()
      : written.startsWith('@')
        ? await readFileText(written.slice(1))
        : written
  let payload: unknown
  try {
    payload = parseJson(text)
  } catch (cause) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [`--payload is no JSON: ${(cause as Error).message}`], {
      cause,
    })
  }
  if (isObject(payload)) return payload
  throw makeError('NOETL_ERR_REQUEST_INVALID', ['--payload must be a JSON object such as {"message": "hi"}'])
}

async function readFileText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [`--payload: ${(cause as Error).message}`], { cause })
  }
}

/** `a.b=1` → `{a: {b: 1}}`. */
function setPair(payload: JsonObject, pair: string): void {
  const equals = pair.indexOf('=')
  const keys = pair.slice(0, Math.max(0, equals)).split('.')
  if (equals < 1 || keys.some((key) => key === '' || key === '__proto__')) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [
      `--set ${pair}: key=value was expected, such as --set message=hi`,
    ])
  }
  let at = payload
  for (const key of keys.slice(0, -1)) {
    const inner = at[key]
    const next: JsonObject = isObject(inner) ? { ...inner } : {}
    at[key] = next
    at = next
  }
  const text = pair.slice(equals + 1)
  try {
    at[keys.at(-1)!] = parseJson(text)
  } catch {
    at[keys.at(-1)!] = text
  }
}
