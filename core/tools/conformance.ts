import { deepEqual, ok, rejects } from 'node:assert/strict'
import type { ErrorKind } from '../schemas/command.ts'
import { type Json, type JsonObject, parseJson, writeJson } from '../schemas/json.ts'
import { CallAborted, CONTRACT, type Credential, type Tool, type ToolCall, ToolError } from './define.ts'
import { type LoadedTool, makeToolRegistry } from './registry.ts'

/** What the suite needs to know of a tool to try it. All inputs are as after rendering. */
export interface Conformance {
  /** A new tool; the suite closes it. */
  makeTool(): Tool | Promise<Tool>
  /** A call that succeeds, and a check of its result that throws when it is wrong. */
  works: { input: JsonObject; check(result: Json): void }
  /** A call that fails as it should, and the kind of its error. */
  fails: { input: JsonObject; kind: ErrorKind }
  /** A call that goes on for a minute unless it is stopped. Absent for tools that cannot wait. */
  slow?: { input: JsonObject }
  /** An input that the schema does not take. */
  refused: { input: JsonObject }
  credentials?: Record<string, { type: string; data: JsonObject }>
  /** Texts that no error may show. */
  secrets?: string[]
}

/** How long an aborted call may take to end, in milliseconds. */
const STOP_WITHIN = 5000
/** How long a slow call is let run before it is stopped: it should be in its midst. */
const LET_RUN = 300

/**
 * The conformance suite that every tool passes. It knows no test runner: each case is a sentence and a
 * function that throws when the sentence is not true.
 */
export function conformanceCases(about: Conformance): { name: string; run(): Promise<void> }[] {
  const { works, fails, slow, refused } = about
  const stored = about.credentials ?? {}

  async function withTool(use: (loaded: LoadedTool) => Promise<void>): Promise<void> {
    const tool = await about.makeTool()
    const registry = makeToolRegistry()
    registry.register(tool, { name: 'conformance', version: '0.0.0' })
    try {
      await use(registry.get(tool.kind)!)
    } finally {
      await tool.close?.()
    }
  }

  function call(signal = new AbortController().signal): ToolCall {
    const quiet = { debug() {}, info() {}, warn() {}, error() {} }
    return {
      signal,
      log: quiet,
      attempt: 1,
      idempotencyKey: 'conformance',
      executionId: '1',
      step: 'conformance',
      async credentials(alias): Promise<Credential> {
        const found = stored[alias]
        if (found === undefined) throw new ToolError('auth', `no credential ${alias}`)
        return { name: alias, ...found }
      },
      context: () => ({ execution_id: '1' }),
    }
  }

  async function checkWorks({ tool, checkOutput }: LoadedTool): Promise<void> {
    const result = await tool.run(works.input, call())
    const fault = checkOutput(result)
    ok(fault === undefined, `its result does not fit its schema: ${fault}`)
    deepEqual(parseJson(writeJson(result)), result, 'its result is not plain JSON')
    works.check(result)
  }

  async function failure(tool: Tool, input: JsonObject): Promise<ToolError> {
    try {
      await tool.run(input, call())
    } catch (error) {
      ok(error instanceof ToolError, `it threw ${String(error)}, which is no ToolError`)
      return error
    }
    throw new Error('the call was expected to fail and did not')
  }

  async function checkAbort(tool: Tool, input: JsonObject): Promise<void> {
    const controller = new AbortController()
    const running = tool.run(input, call(controller.signal))
    const early = await Promise.race([
      running.then(
        () => 'ended',
        () => 'failed',
      ),
      pause(LET_RUN),
    ])
    ok(early === undefined, `the slow call ${early} before it was stopped`)
    const reason = new CallAborted('cancelled', 'the execution was cancelled')
    controller.abort(reason)
    const ended = await Promise.race([
      running.then(
        () => 'a result',
        (error: unknown) => error,
      ),
      pause(STOP_WITHIN),
    ])
    ok(ended !== undefined, `the call did not end within ${STOP_WITHIN} ms of its signal`)
    ok(ended === reason, `it should throw the signal's reason, not ${String(ended)}`)
  }

  const cases = [
    {
      name: 'its kind is a word and its contract this one',
      run: () =>
        withTool(async ({ tool }) => {
          ok(/^[a-z][a-z0-9_]*$/.test(tool.kind), `"${tool.kind}" is no word of a-z, 0-9 and _`)
          ok(tool.contract === CONTRACT)
        }),
    },
    {
      name: 'an input that works fits its schema, and the result fits its own and is right',
      run: () =>
        withTool(async (loaded) => {
          ok(loaded.checkInput(works.input) === undefined, loaded.checkInput(works.input))
          await checkWorks(loaded)
        }),
    },
    {
      name: 'an input that does not fit is refused by its schema with a reason',
      run: () =>
        withTool(async ({ checkInput }) => {
          ok((checkInput(refused.input) ?? '').length > 5, 'the schema takes it')
        }),
    },
    {
      name: 'an expected failure is a ToolError of the right kind, told without secrets',
      run: () =>
        withTool(async ({ tool, checkInput }) => {
          ok(checkInput(fails.input) === undefined, checkInput(fails.input))
          const error = await failure(tool, fails.input)
          ok(error.kind === fails.kind, `its kind is ${error.kind}, not ${fails.kind}: ${error.message}`)
          ok(error.message.length > 5, 'it says too little')
          const told = `${JSON.stringify(error.toCallError())}${JSON.stringify(error.result)}`
          for (const secret of about.secrets ?? []) ok(!told.includes(secret), 'its error shows a secret')
        }),
    },
    {
      name: 'it works again after a failure',
      run: () =>
        withTool(async (loaded) => {
          await failure(loaded.tool, fails.input)
          await checkWorks(loaded)
        }),
    },
    {
      name: 'eight calls side by side do not disturb each other',
      run: () =>
        withTool(
          async (loaded) => void (await Promise.all(Array.from({ length: 8 }, () => checkWorks(loaded)))),
        ),
    },
    {
      name: 'a call whose signal was aborted before it began does not run',
      run: () =>
        withTool(async ({ tool }) => {
          const reason = new CallAborted('stopping', 'the worker stops')
          await rejects(
            tool.run((slow ?? works).input, call(AbortSignal.abort(reason))),
            (error) => error === reason,
          )
        }),
    },
    {
      name: 'closing is safe twice, and with nothing begun',
      run: async () => {
        const tool = await about.makeTool()
        await tool.close?.()
        await tool.close?.()
      },
    },
  ]
  if (slow !== undefined) {
    cases.push({
      name: 'a call in its midst ends soon after its signal, with the reason, and the next one works',
      run: () =>
        withTool(async (loaded) => {
          await checkAbort(loaded.tool, slow.input)
          await checkWorks(loaded)
        }),
    })
  }
  return cases
}

function pause(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms).unref())
}
