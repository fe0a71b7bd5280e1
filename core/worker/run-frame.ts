import { eachOf } from '../each-of.ts'
import { type Frame, type LeasedCommand, makeCallError, type Outcome } from '../schemas/command.ts'
import { isObject, type Json } from '../schemas/json.ts'
import type { Task } from '../schemas/playbook.ts'
import { callTask } from './call-task.ts'
import { runBody, type Surroundings } from './run-command.ts'
import { makeStepScope } from './step-scope.ts'

/**
 * One frame of a loop over a cursor: claims rows by SQL, then runs the body once for each, some at a time, and
 * reports them as a whole. No rows: the loop has come to its end. A row that fails is counted, the others go on.
 */
export async function runFrame(command: LeasedCommand, frame: Frame, around: Surroundings): Promise<Outcome> {
  const startedAt = performance.now()
  const claimed = await claimRows(command, frame, around)
  const elapsed = () => Math.round(performance.now() - startedAt)
  const meta = (calls: number) => ({ duration_ms: elapsed(), calls, facets: {} })
  if ('error' in claimed) {
    return {
      status: 'error',
      error: claimed.error,
      result: { results: [], failed: 0 },
      set: {},
      meta: meta(1),
    }
  }
  const { rows } = claimed
  const outcomes: Outcome[] = new Array(rows.length)
  await eachOf(rows.keys(), Math.min(frame.cursor.rowConcurrency, rows.length), async (index) => {
    outcomes[index] = await runRow(command, frame, { rows, index, elapsed: elapsed() }, around)
  })
  const failed = outcomes.filter((outcome) => outcome.status !== 'ok')
  const base = {
    result: { results: outcomes.map((outcome) => outcome.result), failed: failed.length },
    set: Object.fromEntries(outcomes.flatMap((outcome) => Object.entries(outcome.set))),
    meta: meta(1 + outcomes.reduce((sum, outcome) => sum + outcome.meta.calls, 0)),
  }
  const error = failed[0]?.error ?? null
  return error === null ? { ...base, status: 'ok', error } : { ...base, status: 'error', error }
}

async function claimRows(
  command: LeasedCommand,
  { cursor }: Frame,
  around: Surroundings,
): Promise<{ rows: Json[] } | { error: NonNullable<Outcome['error']> }> {
  const claim: Task = {
    label: 'claim',
    kind: cursor.kind,
    config: withFrameSize(cursor.config, cursor.maxRows),
    input: { __frame_max_rows: cursor.maxRows },
    set: {},
    rules: [],
  }
  const keychain = command.context.keychain.length === 0 ? {} : await around.keychain(command)
  const scope = makeStepScope(command, { now: around.now, keychain })
  const run_id = runOf(command)
  const called = await callTask({ ...command, run_id }, claim, { run: 1, visit: 1, scope, around })
  if ('child' in called) return { rows: [] }
  if (called.error !== null) return { error: called.error }
  const { result } = called
  const rows = isObject(result) && Array.isArray(result.rows) ? result.rows : []
  return { rows }
}

/** Claims of two frames, and rows of two that have one index, are not the same call: the frame's command tells. */
function runOf({ run_id, command_id }: LeasedCommand): string {
  return `${run_id}-${command_id}`
}

/** The SQL may use `__frame_max_rows` as a word as well as in a template. */
function withFrameSize(config: Task['config'], maxRows: number): Task['config'] {
  const { command } = config
  if (typeof command !== 'string') return config
  const outside = command
    .split(/(\{\{.*?\}\}|\{%.*?%\})/s)
    .map((part, i) => (i % 2 === 0 ? part.replace(/:?\b__frame_max_rows\b/g, String(maxRows)) : part))
  return { ...config, command: outside.join('') }
}

async function runRow(
  command: LeasedCommand,
  { iterator, cursor }: Frame,
  { rows, index, elapsed }: { rows: Json[]; index: number; elapsed: number },
  around: Surroundings,
): Promise<Outcome> {
  const refused = (message: string): Outcome => ({
    status: 'error',
    error: makeCallError({ kind: 'timeout', message }),
    result: null,
    set: {},
    meta: { duration_ms: 0, calls: 0, facets: {} },
  })
  if (cursor.maxSeconds !== undefined && elapsed > cursor.maxSeconds * 1000) {
    return refused(`the frame's ${cursor.maxSeconds} s were over before this row was begun`)
  }
  const iteration = { iterator, index, total: rows.length, item: rows[index] ?? null }
  const outcome = await runBody({ ...command, run_id: runOf(command), frame: null, iteration }, around, false)
  if (outcome.status !== 'waiting') return outcome
  return refused('a playbook cannot be called for each row of a cursor; loop over a list instead')
}
