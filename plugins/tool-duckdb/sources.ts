import { type Json, type JsonObject, loadScript, type ToolCall, ToolError } from '@noetl/core'
import type { DuckdbInput } from './input.ts'

/** A text of SQL, and how messages name it when there are several. */
export interface Source {
  text: string
  name: string
}

/** The texts that the step's fields hold, in order. Throws ToolError `schema` when there is no SQL. */
export async function findSources(fields: DuckdbInput, call: ToolCall): Promise<Source[]> {
  const { field, given } = await findText(fields, call)
  const texts = typeof given === 'string' ? [given] : given
  if (texts.every((text) => text.trim() === '')) {
    throw new ToolError('schema', `"${field}" is empty: the duckdb tool needs SQL in it.`)
  }
  return texts.map((text, index) => {
    // DuckDB would end the text there, and run the half of it.
    if (text.includes('\0')) throw new ToolError('schema', 'SQL cannot hold the character U+0000.')
    return { text, name: typeof given === 'string' ? '' : `${field}[${index}] ` }
  })
}

async function findText(
  fields: DuckdbInput,
  call: ToolCall,
): Promise<{ field: string; given: string | string[] }> {
  for (const field of ['command', 'query', 'commands'] as const) {
    const given = fields[field] ?? null
    if (given !== null) return { field, given }
  }
  if (fields.script) return { field: 'script', given: await loadScript(fields.script, call) }
  throw new ToolError('schema', 'The duckdb tool needs SQL in "command", "query", "commands" or "script".')
}

/** The values that `params` or `parameters` bind; null when there are none. */
export function findValues(fields: DuckdbInput): Json[] | JsonObject | null {
  const given = (fields.params ?? fields.parameters ?? null) as Json[] | JsonObject | null
  return given === null || Object.keys(given).length === 0 ? null : given
}
