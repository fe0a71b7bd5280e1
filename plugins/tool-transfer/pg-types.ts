import { type Json, parseJson, readNumber } from '@noetl/core'
import pg from 'pg'
import type { ColumnType, SourceColumn } from './rows.ts'

/** What Postgres sends for a type: always text, but for booleans. */
interface PgType {
  type: ColumnType
  toJson?: (text: string) => Json
}

/** The column that a field of a result is. Types not named here are text: enums, inet, money. */
export function columnOf(field: { name: string; dataTypeID: number }): SourceColumn {
  const { name, dataTypeID: oid } = field
  const scalar = SCALARS.get(oid)
  if (scalar !== undefined) return { name, ...scalar }
  const element = ARRAYS.get(oid)
  if (element === undefined) return { name, type: 'text' }
  const toJson = oid === BOOLEANS ? asBoolean : (SCALARS.get(element)?.toJson ?? asText)
  return { name, type: 'list', toJson: (text) => eachElement(splitArray(text), toJson) }
}

/** How the driver is to read values: not at all. */
export const asSent = {
  getTypeParser: (oid: number) => (oid === BOOLEAN ? asBoolean : asText),
}

const asText = (text: string): Json => text
const asBoolean = (text: string): Json => text === 't'
const asBase64 = (text: string): Json => Buffer.from(text.slice(2), 'hex').toString('base64')

/** NaN and Infinity stay text. */
function asFloat(text: string): Json {
  const number = Number(text)
  return Number.isFinite(number) ? number : text
}

const BOOLEAN = 16
const BOOLEANS = 1000

const SCALARS: ReadonlyMap<number, PgType> = new Map<number, PgType>([
  [BOOLEAN, { type: 'boolean' }],
  [17, { type: 'bytes', toJson: asBase64 }],
  [20, { type: 'bigint', toJson: readNumber }],
  [21, { type: 'integer', toJson: readNumber }],
  [23, { type: 'integer', toJson: readNumber }],
  [26, { type: 'bigint', toJson: readNumber }],
  [114, { type: 'json', toJson: parseJson }],
  [700, { type: 'double', toJson: asFloat }],
  [701, { type: 'double', toJson: asFloat }],
  [1082, { type: 'date' }],
  [1083, { type: 'time' }],
  [1114, { type: 'timestamp' }],
  [1184, { type: 'timestamptz' }],
  [1186, { type: 'interval' }],
  [1700, { type: 'numeric', toJson: readNumber }],
  [2950, { type: 'uuid' }],
  [3802, { type: 'json', toJson: parseJson }],
])

/** Oid of an array type → oid of its elements, for the types that come with Postgres. */
const ARRAYS: ReadonlyMap<number, number> = new Map([
  [199, 114],
  [BOOLEANS, BOOLEAN],
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
  [1041, 869],
  [1115, 1114],
  [1182, 1082],
  [1183, 1083],
  [1185, 1184],
  [1187, 1186],
  [1231, 1700],
  [2951, 2950],
  [3807, 3802],
])

type Elements = (string | null | Elements)[]

const TEXT_ARRAY: number = 1009

/** The driver's own parser of text arrays: quotes, nulls and nesting, elements left as text. */
const splitArray: (text: string) => Elements = pg.types.getTypeParser(TEXT_ARRAY, 'text')

function eachElement(elements: Elements, parse: (text: string) => Json): Json {
  return elements.map((element) => {
    if (element === null) return null
    return Array.isArray(element) ? eachElement(element, parse) : parse(element)
  })
}
