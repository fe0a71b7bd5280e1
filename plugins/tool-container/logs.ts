import { isObject, type JsonObject, parseJson } from '@noetl/core'

export interface Logs {
  text: string | null
  truncated: boolean
}

/** Lines asked for when the whole is more than the limit, each time fewer. */
const TAILS = [10_000, 1_000, 100, 10, 1]

/**
 * The logs up to `bytes`, and of longer ones their end, which is what tells the outcome. A cluster counts
 * bytes from the beginning of what is asked for: fewer lines are asked for until their end is there.
 */
export async function readLogs(
  read: (limits: { bytes: number; lines?: number }) => Promise<string | null>,
  { bytes }: { bytes: number },
): Promise<Logs> {
  // One more than the limit tells whether there is more.
  const whole = await read({ bytes: bytes + 1 })
  if (whole === null || Buffer.byteLength(whole) <= bytes) return { text: whole, truncated: false }
  let text: string | null = whole
  for (const lines of TAILS) {
    text = await read({ bytes: bytes + 1, lines })
    if (text === null || Buffer.byteLength(text) <= bytes) return { text, truncated: true }
  }
  return { text: Buffer.from(text).subarray(0, bytes).toString(), truncated: true }
}

/** The last line, where it is a JSON object: what a container gives as its result. */
export function dataOf(logs: string | null): JsonObject | undefined {
  const line = (logs ?? '').trimEnd().split('\n').at(-1)?.trim() ?? ''
  if (!line.startsWith('{')) return undefined
  try {
    const value = parseJson(line)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** The last lines, short enough for a message. */
export function lastLines(
  logs: string | null,
  { lines, characters }: { lines: number; characters: number },
): string {
  const text = (logs ?? '').trimEnd().split('\n').slice(-lines).join('\n').trim()
  return text.length > characters ? `…${text.slice(-characters)}` : text
}
