import { type Json, loadScript, type ToolCall, ToolError } from '@noetl/core'
import type { PostgresInput } from './input.ts'
import { type Statement, splitStatements } from './split-statements.ts'

/** A statement with the text it was cut from, in which errors are located. */
export interface Placed extends Statement {
  source: string
  values: readonly Json[] | null
}

/** The statements that the step's fields hold, in order. Throws ToolError `schema` when they do not fit together. */
export async function findStatements(fields: PostgresInput, call: ToolCall): Promise<Placed[]> {
  const { script } = fields
  const given =
    fields.command ?? fields.query ?? fields.commands ?? (script ? await loadScript(script, call) : null)
  if (given === null) {
    throw new ToolError(
      'schema',
      'The postgres tool needs SQL in "command", "query", "commands" or "script".',
    )
  }
  const sources = typeof given === 'string' ? [given] : given
  const statements = sources.flatMap((source) => {
    if (source.includes('\0')) throw new ToolError('schema', 'SQL cannot hold the character U+0000.')
    return splitStatements(source).map((statement) => ({ ...statement, source, values: null }))
  })
  const values = valuesOf(fields.params)
  if (values === null) return statements
  if (statements.length !== 1) {
    throw new ToolError(
      'schema',
      `"params" binds the values of one statement; this SQL has ${statements.length}. Split it into several tools.`,
    )
  }
  return statements.map((statement) => ({ ...statement, values }))
}

function valuesOf(params: PostgresInput['params']): readonly Json[] | null {
  if (params === undefined || params === null) return null
  if (Array.isArray(params)) return params.length === 0 ? null : (params as Json[])
  if (Object.keys(params).length === 0) return null
  throw new ToolError('schema', '"params" must be a list: its values are bound to $1, $2, ... in order.')
}

/** The line, from 1, at which a statement failed: of the server's position in it, or of its first word. */
export function failingLine(statement: Placed, position: string | undefined): number {
  if (position === undefined) return statement.line
  // The server counts characters, JavaScript UTF-16 units.
  const before = [...statement.text].slice(0, Number(position) - 1).join('')
  return statement.source.slice(0, statement.offset + before.length).split('\n').length
}
