import { styleText } from 'node:util'

/** Aligned columns; the widest text column is cut to the terminal's width. Without rows, a sentence. */
export function table(
  rows: readonly Record<string, string>[],
  columns: readonly string[],
  options: { none: string; width?: number } = { none: 'nothing' },
): string {
  if (rows.length === 0) return options.none
  const total =
    options.width ?? (process.stdout.isTTY ? (process.stdout.columns ?? 120) : Number.POSITIVE_INFINITY)
  const widths = columns.map((name) => Math.max(name.length, ...rows.map((row) => (row[name] ?? '').length)))
  const over = widths.reduce((sum, width) => sum + width + 2, -2) - total
  if (over > 0) {
    const widest = widths.indexOf(Math.max(...widths))
    widths[widest] = Math.max(10, widths[widest]! - over)
  }
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) =>
        i === cells.length - 1 ? cut(cell, widths[i]!) : cut(cell, widths[i]!).padEnd(widths[i]!),
      )
      .join('  ')
      .trimEnd()
  const head = styleText('bold', line(columns.map((name) => name.toUpperCase())))
  return [head, ...rows.map((row) => line(columns.map((name) => row[name] ?? '')))].join('\n')
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}

/** A status in its colour, where there are colours. */
export function shownStatus(status: string): string {
  const colour = { COMPLETED: 'green', FAILED: 'red', CANCELLED: 'yellow', RUNNING: 'cyan' } as const
  return styleText(colour[status as keyof typeof colour] ?? 'white', status)
}

/** `3m ago`. */
export function ago(iso: string | null | undefined, now = Date.now()): string {
  if (!iso) return ''
  const seconds = Math.max(0, Math.round((now - Date.parse(iso)) / 1000))
  if (seconds < 60) return `${seconds}s ago`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ago`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ago`
  return `${Math.floor(seconds / 86_400)}d ago`
}

/** `12 ms`, `3.4 s`. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  return seconds < 60
    ? `${seconds.toFixed(1)} s`
    : `${Math.floor(seconds / 60)} m ${Math.round(seconds % 60)} s`
}

/** JSON for eyes, cut unless all of it is wanted. */
export function shownJson(value: unknown, full: boolean): string {
  const text = JSON.stringify(value, null, 2) ?? 'null'
  return full || text.length <= 2000
    ? text
    : `${text.slice(0, 2000)}\n… (${text.length} characters; --full shows all)`
}
