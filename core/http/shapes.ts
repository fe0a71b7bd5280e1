import { type Static, type TSchema, Type } from 'typebox'

export const ID_PATTERN = '^\\d{1,19}$'
/** Ids exceed what a double holds: taken as text or number, always given as text. */
export const Id = longId(Type.String({ pattern: ID_PATTERN }), Type.Integer({ minimum: 0 }))
export const IdText = Type.String()
/** A field that may be left out or null. */
export const Maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))
/** A whole number, or "latest"; see `readVersion`. */
export const Version = Maybe(Type.Union([Type.Integer({ minimum: 1 }), Type.String({ maxLength: 100 })]))
export const Anything = Type.Unknown()
export const Bag = Type.Record(Type.String(), Type.Unknown())
export const Name = Type.String({ minLength: 1, maxLength: 400 })

export const ErrorReply = Type.Object({
  error: Type.String(),
  detail: Type.String(),
  status: Type.Integer(),
  code: Type.String(),
  details: Type.Optional(Type.Unknown()),
})

export const IdParams = Type.Object({ id: Type.String({ pattern: ID_PATTERN }) })
export type IdParams = Static<typeof IdParams>

/** Text, a number, or a number beyond 2^53, which becomes text when the body is checked. */
export function longId<S extends TSchema, N extends TSchema>(text: S, number: N) {
  return Type.Union([text, number, Type.Unsafe<never>({ 'x-long-id': true })])
}

/** An id as text. */
export function idText(id: string | number): string {
  return String(id)
}
