import { writeJson } from '../schemas/json.ts'

/**
 * JSON as Postgres takes it: jsonb has no NUL and no half of a surrogate pair, so either becomes U+FFFD.
 * Said in one place, because such a character may come from a body, a tool or a template.
 */
export function jsonText(value: unknown): string {
  const text = writeJson(value)
  return text.includes('\\u')
    ? text.replace(UNSTORABLE, (_all, backslash?: string) => backslash ?? '\\ufffd')
    : text
}

/** An escaped backslash is matched too, so that the `u0000` behind it is left alone. */
const UNSTORABLE = /(\\\\)|\\u(?:0000|d[89a-f][0-9a-f]{2})/gi
