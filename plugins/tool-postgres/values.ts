import { type Json, parseJson, readNumber } from '@noetl/core'
import pg from 'pg'

/** Turns the text of a value, as the server sends it, into what JSON can carry. */
export type ParseValue = (text: string) => Json

/** How values of the type with this oid are read. Types not named here stay text: uuid, interval, inet, enums. */
export function parserOf(oid: number): ParseValue {
  const scalar = SCALARS.get(oid)
  if (scalar !== undefined) return scalar
  const element = ARRAYS.get(oid)
  if (element === undefined) return asText
  const parse = SCALARS.get(element) ?? asText
  return (text) => eachElement(splitArray(text), parse)
}

const asText: ParseValue = (text) => text
const asBoolean: ParseValue = (text) => text === 't'

/** A float: what Postgres writes of it, Node reads back as it was. NaN and Infinity stay text. */
const asFloat: ParseValue = (text) => {
  const number = Number(text)
  return Number.isFinite(number) ? number : text
}

const asBase64: ParseValue = (text) => {
  // Only the older of the two output forms lacks the \x.
  const bytes = text.startsWith('\\x') ? Buffer.from(text.slice(2), 'hex') : unescapeBytes(text)
  return bytes.toString('base64')
}
const unescapeBytes: (text: string) => Buffer = pg.types.getTypeParser(17, 'text')

/** `2026-01-02 03:04:05.6+00` → `2026-01-02T03:04:05.6+00:00`; infinity stays as it is. */
const asTimestamp: ParseValue = (text) => text.replace(' ', 'T').replace(/([+-]\d\d)(:\d\d)?/g, keepZoneOnly)

function keepZoneOnly(zone: string, hours: string, minutes: string | undefined, at: number): string {
  // Dates have hyphens too; a zone comes after the time.
  return at > 10 ? `${hours}${minutes ?? ':00'}` : zone
}

const SCALARS: ReadonlyMap<number, ParseValue> = new Map<number, ParseValue>([
  [16, asBoolean],
  [17, asBase64],
  [20, readNumber],
  [21, readNumber],
  [23, readNumber],
  [26, readNumber],
  [114, parseJson],
  [700, asFloat],
  [701, asFloat],
  [1114, asTimestamp],
  [1184, asTimestamp],
  [1700, readNumber],
  [3802, parseJson],
])

/** Oid of an array type → oid of its elements, for the types that come with Postgres. */
const ARRAYS: ReadonlyMap<number, number> = new Map([
  [199, 114],
  [651, 650],
  [1000, 16],
  [1001, 17],
  [1002, 18],
  [1003, 19],
  [1005, 21],
  [1007, 23],
  [1009, 25],
  [1014, 1042],
  [1015, 1043],
  [1016, 20],
  [1021, 700],
  [1022, 701],
  [1028, 26],
  [1040, 829],
  [1041, 869],
  [1115, 1114],
  [1182, 1082],
  [1183, 1083],
  [1185, 1184],
  [1187, 1186],
  [1231, 1700],
  [1270, 1266],
  [1561, 1560],
  [2951, 2950],
  [3807, 3802],
])

type Elements = (string | null | Elements)[]

const TEXT_ARRAY: number = 1009

/** The driver's own parser of text arrays: quotes, nulls and nesting, elements left as text. */
const splitArray: (text: string) => Elements = pg.types.getTypeParser(TEXT_ARRAY, 'text')

function eachElement(elements: Elements, parse: ParseValue): Json {
  return elements.map((element) => {
    if (element === null) return null
    return Array.isArray(element) ? eachElement(element, parse) : parse(element)
  })
}
