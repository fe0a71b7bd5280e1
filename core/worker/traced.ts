import type { Logger } from 'pino'
import type { LeasedCommand } from '../schemas/command.ts'
import { commandTraceparent, traceIdOf } from '../schemas/trace.ts'

/** A log that says which command it is of, and the context that its calls hand on. */
export function traced(command: LeasedCommand, log: Logger): { log: Logger; traceparent?: string } {
  const { execution_id, command_id, step, attempt, trace } = command
  const about = { execution_id, command_id, step }
  if (trace === undefined) return { log: log.child(about) }
  const traceparent = commandTraceparent(trace, command_id, attempt)
  return { log: log.child({ ...about, trace_id: traceIdOf(traceparent) }), traceparent }
}
