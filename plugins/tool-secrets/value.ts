import { isObject, type Json, parseJson, ToolError } from '@noetl/core'
import type { Content } from './provider.ts'
import { nameOf, type Reference } from './references.ts'

/** What a step gets of a secret: its text, its JSON, one field of it, or its bytes in base64. */
export function readValue(content: Content, { name, key }: Reference, encoding: 'utf8' | 'base64'): Json {
  if (encoding === 'base64') {
    if (!('bytes' in content) || key !== null) {
      throw new ToolError(
        'schema',
        `${nameOf(name)}: encoding base64 is for a whole secret that is bytes, not for fields of one.`,
      )
    }
    return content.bytes.toString('base64')
  }
  if (key !== null)
    return pick('json' in content ? content.json : jsonOf(content.bytes, nameOf(name)), key, name)
  if ('json' in content) return content.json
  return content.isJson ? jsonOf(content.bytes, nameOf(name)) : textOf(content.bytes, nameOf(name))
}

function textOf(bytes: Buffer, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new ToolError('parse', `${what} holds bytes that are no text: ask for it with "encoding: base64".`)
  }
}

/** Parses what should be JSON; `what` is how messages name it. */
export function jsonOf(bytes: Buffer, what: string): Json {
  const text = textOf(bytes, what)
  try {
    return parseJson(text)
  } catch {
    // Neither the parser's words nor the error as cause: both quote the text.
    throw new ToolError('parse', `${what} was expected to be JSON and is not.`)
  }
}

/** A field by its name, or deeper ones with dots between them. */
function pick(json: Json, key: string, name: string): Json {
  const whole = member(json, key)
  if (whole !== undefined) return whole
  let value: Json | undefined = json
  for (const part of key.split('.')) value = value === undefined ? undefined : member(value, part)
  if (value === undefined) throw new ToolError('not_found', `${nameOf(name)} has no field "${key}".`)
  return value
}

function member(json: Json, key: string): Json | undefined {
  if (Array.isArray(json)) return /^\d+$/.test(key) ? json[Number(key)] : undefined
  return isObject(json) && Object.hasOwn(json, key) ? json[key] : undefined
}
