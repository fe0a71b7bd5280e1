import { styleText } from 'node:util'
import type { Fault } from '@noetl/core'

/** What a finding is counted as. */
export type Severity = 'error' | 'warning'

/**
 * One finding: `file:line:column: error: message [path]`, as compilers and editors have it. With the text of the
 * file also the line that is meant, and a caret under the place.
 */
export function showFinding(
  file: string,
  severity: Severity,
  fault: Fault,
  options: { source?: string | undefined; width?: number | undefined } = {},
): string {
  const { line = 1, column = 1, message, suggestion, path } = fault
  const hint =
    suggestion === undefined ? '' : `${/[.?!]$/.test(message) ? '' : '.'} Did you mean "${suggestion}"?`
  const where = path ? ` [${path}]` : ''
  const word = styleText(severity === 'error' ? 'red' : 'yellow', `${severity}:`)
  const head = `${printable(`${file}:${line}:${column}:`)} ${word} ${printable(`${message}${hint}${where}`)}`
  const text = options.source?.split('\n')[line - 1]
  return text === undefined
    ? head
    : `${head}\n${excerpt(text.replace(/\r$/, ''), { line, column }, options.width || 80)}`
}

/** The line, cut around the place so that it fits, and a caret under it. */
function excerpt(text: string, { line, column }: { line: number; column: number }, width: number): string {
  const gutter = `${String(line).padStart(5)} | `
  const room = Math.max(40, width - gutter.length)
  const start = column <= room ? 0 : column - 1 - Math.floor(room / 2)
  // A control character would move the caret, or worse.
  const shown = text.slice(start, start + room).replace(/\p{Cc}/gu, ' ')
  const before = [...shown.slice(0, column - 1 - start)].length
  return [
    styleText('dim', gutter) + shown.trimEnd(),
    `${styleText('dim', `${' '.repeat(5)} | `)}${' '.repeat(before)}${styleText('bold', '^')}`,
  ].join('\n')
}

/** Names come from files: what steers a terminal is shown, not sent. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (sign) => `\\u${sign.codePointAt(0)!.toString(16).padStart(4, '0')}`)
}

/** `2 faults, 1 warning`. */
export function countOf(counts: { faults: number; warnings: number }): string {
  return Object.entries(counts)
    .map(([what, count]) => `${count} ${count === 1 ? what.slice(0, -1) : what}`)
    .join(', ')
}
